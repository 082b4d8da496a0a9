"""What every method says about itself, without importing torch."""

from dataclasses import dataclass

from distmerge.spec import Hyper


@dataclass(frozen=True)
class Method:
    """A method's name, origin and settings; its ``stage`` module holds the mathematics."""

    name: str
    title: str
    paper: str
    summary: str
    hyper: type[Hyper]
