"""A hyperparameter is declared once: its type, default, bounds, search range and meaning.

From a ``Hyper`` alone come YAML validation, the search space, ``distmerge methods NAME`` and the
Parquet columns.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Value: TypeAlias = bool | int | float | str
Count = Annotated[int, Field(gt=0, lt=2**31)]
"""A positive whole number that every library takes."""


@dataclass(frozen=True)
class Uniform:
    """A real number, drawn evenly from ``[low, high]``."""

    low: float
    high: float


@dataclass(frozen=True)
class LogUniform:
    """A positive real number, drawn evenly on a logarithmic scale from ``[low, high]``."""

    low: float
    high: float


@dataclass(frozen=True)
class IntUniform:
    """A whole number, drawn evenly from ``low`` to ``high``, both included."""

    low: int
    high: int


@dataclass(frozen=True)
class Choice:
    """One of ``values``, each as likely as the others."""

    values: tuple[Value, ...]


Interval: TypeAlias = Uniform | LogUniform | IntUniform
Distribution: TypeAlias = Interval | Choice


def described(distribution: Distribution) -> str:
    """Give a range in words."""
    match distribution:
        case Choice(values):
            return f"one of {', '.join(map(str, values))}"
        case Uniform(low, high) | IntUniform(low, high):
            return f"{low:g} to {high:g}"
        case LogUniform(low, high):
            return f"{low:g} to {high:g}, logarithmic"


class Hyper(BaseModel):
    """The hyperparameters of one method; a field with a distribution is searched by default."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )
    role: ClassVar[Literal["merge", "correction"]] = "merge"
    """A merge makes the multi-task model and stands first; a correction improves what it is given.
    """

    @property
    def images_per_step(self) -> int:
        """How many adapt images of every task one optimiser step draws."""
        return 0

    @property
    def tower_layer(self) -> str:
        """The layer of the tower's last block that every task has for itself; empty: none."""
        return ""

    @property
    def correctable(self) -> bool:
        """Whether a correction may follow: whether the method gives one tower for all images."""
        return True

    @classmethod
    def search_space(cls) -> dict[str, Distribution]:
        """Give the distribution of every field that declares one."""
        return {
            name: mark
            for name, field in cls.model_fields.items()
            for mark in field.metadata
            if isinstance(mark, Distribution)
        }


class Frozen(BaseModel):
    """A part of a study: immutable, every key known, every number finite."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


DISTRIBUTIONS: dict[str, type[Any]] = {
    "uniform": Uniform,
    "log_uniform": LogUniform,
    "int_uniform": IntUniform,
    "choice": Choice,
}


def field_path(location: Sequence[int | str]) -> str:
    """Give the dotted path of a field, without the form that was chosen for it."""
    return ".".join(str(part) for part in location if not str(part).startswith("("))


def field_problems(error: ValidationError) -> list[str]:
    """Give what is wrong with content of ours, field by field."""
    return [f"{field_path(e['loc'])}: {e['msg']}" for e in error.errors()]


def parse_setting(value: object) -> Value | Distribution:
    """Give what a study's setting means: a fixed value, or a range such as ``{uniform: [0, 1]}``.

    Raises:
        ValueError: ``value`` is neither, or the range is empty.

    A range with ``points`` is a choice among as many values that lie evenly.
    """
    if isinstance(value, Value | Distribution):
        return _number(value) if isinstance(value, str) else value
    kinds = [key for key in value if key != "points"] if isinstance(value, dict) else []
    if not isinstance(value, dict) or len(kinds) != 1:
        raise ValueError(f"got {value!r}; expected a value or {{uniform: [low, high]}}")
    kind, bounds = kinds[0], value[kinds[0]]
    if kind not in DISTRIBUTIONS:
        raise ValueError(f"unknown distribution {kind!r}; known: {', '.join(DISTRIBUTIONS)}")
    if not isinstance(bounds, list) or not bounds:
        raise ValueError(f"{kind}: got {bounds!r}; expected a list")
    values = [_number(bound) if isinstance(bound, str) else bound for bound in bounds]
    if kind == "choice":
        if "points" in value:
            raise ValueError("choice: its values are its points; leave points out")
        return Choice(tuple(values))
    interval = _interval(kind, values)
    return _points(interval, value["points"]) if "points" in value else interval


def _number(text: str) -> str | float:
    """Give the number that ``text`` writes, or the text: YAML 1.1 reads 1e-3 as text."""
    return float(text) if re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", text) else text


def _points(interval: Interval, count: Any) -> Choice:
    """Give values that lie evenly, on the interval's own scale, both ends included.

    Raises:
        ValueError: there are not so many.
    """
    low, high = interval.low, interval.high
    if isinstance(count, bool) or not isinstance(count, int) or count < 2:
        raise ValueError(f"points: got {count!r}; expected a whole number of 2 or more")
    if isinstance(interval, IntUniform):
        if count > high - low + 1:
            raise ValueError(f"points: got {count}; there are {high - low + 1} whole numbers")
        return Choice(tuple(round(low + i * (high - low) / (count - 1)) for i in range(count)))
    shares = [i / (count - 1) for i in range(count)]
    if isinstance(interval, LogUniform):
        inner = [low * (high / low) ** share for share in shares]
    else:
        inner = [low + share * (high - low) for share in shares]
    rounded = (float(f"{value:.12g}") for value in inner[1:-1])  # 0.3, not 0.30000000000000004
    return Choice((low, *rounded, high))


def _interval(kind: str, bounds: list[Any]) -> Interval:
    number = int if kind == "int_uniform" else float
    if len(bounds) != 2 or not all(
        isinstance(bound, int | number) and not isinstance(bound, bool) for bound in bounds
    ):
        raise ValueError(f"{kind}: got {bounds!r}; expected [low, high]")
    low, high = map(number, bounds)
    if not low < high or (kind == "log_uniform" and low <= 0):
        raise ValueError(f"{kind}: got {bounds!r}; expected low < high, and low > 0 for logs")
    interval: Interval = DISTRIBUTIONS[kind](low, high)
    return interval
