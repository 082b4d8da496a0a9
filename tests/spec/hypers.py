"""Two invented methods, so that the tests of study files do not depend on real ones."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from distmerge.spec import Choice, Hyper, IntUniform, LogUniform


class Learner(Hyper):
    """A merge that learns."""

    lr: Annotated[float, Field(gt=0, le=1), LogUniform(1e-4, 1e-1)] = 1e-3
    """Step size."""
    steps: Annotated[int, Field(ge=1), IntUniform(10, 20)] = 10
    """Number of steps."""
    mode: Annotated[Literal["fast", "slow"], Choice(("fast", "slow"))] = "fast"
    """How it learns."""
    clamp: bool = True
    """Never searched by default."""


class Fixer(Hyper):
    """A correction."""

    role: ClassVar[Literal["merge", "correction"]] = "correction"

    rank: Annotated[int, Field(ge=1)] = 4
    """Never searched by default."""


HYPERS: dict[str, type[Hyper]] = {"learner": Learner, "fixer": Fixer}
