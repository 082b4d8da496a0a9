"""What every method says about itself, without importing torch."""

from dataclasses import dataclass
from typing import Literal

from distmerge.spec import Hyper


@dataclass(frozen=True)
class Method:
    """A method's name, origin and settings; its ``stage`` module holds the mathematics."""

    name: str
    title: str
    paper: str
    summary: str
    hyper: type[Hyper]
    crossed: tuple[Literal["adapt", "select", "report"], ...] = ()
    """The roles on which it needs every task's model on every task's images."""
    random: bool = True
    """Whether its result depends on the seed."""
    needs_vision_transformer: bool = False
    """Whether it reads tokens of open_clip's VisionTransformer; other methods take any tower."""
