"""AdaMerging++: AdaMerging on the task vectors that TIES selects."""

from typing import Annotated, Literal

from pydantic import Field

from distmerge.methods.adaptation import CoefficientAdaptation
from distmerge.methods.declaration import Method
from distmerge.spec import Choice


class AdaMergingPlusPlus(CoefficientAdaptation):
    """Settings of AdaMerging++; the defaults are the paper's layer-wise preset."""

    density: Annotated[float, Field(gt=0, le=1), Choice((0.1, 0.2, 0.3))] = 0.2
    """Share of every task vector that is kept, a fraction in (0, 1]."""
    trim_rule: Literal["exact", "reference"] = "exact"
    """reference keeps one parameter more, as the authors' code does."""
    text_parameters: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Parameters outside the tower that the reference counts in the density; see ties."""


METHOD = Method(
    name="adamerging_pp",
    title="AdaMerging++",
    paper="Yang et al., AdaMerging, arXiv:2310.02575",
    summary="AdaMerging on task vectors that are trimmed and of the elected sign",
    hyper=AdaMergingPlusPlus,
)
