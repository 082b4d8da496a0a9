"""What a launch file says of its nodes, the same for every provider."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

MARK = "CHANGE"
"""What the values of a shipped launch file hold that a user must replace."""


@dataclass(frozen=True)
class NodeKind:
    """Nodes that are alike."""

    name: str
    machine: str
    """The provider's name of the machine, or nothing."""
    resources: Mapping[str, float]
    """What one node offers to Ray."""
    smallest: int
    """How many are always up."""
    largest: int
    """How many there may be."""
    head: bool = False
    spot: bool = False


@dataclass(frozen=True)
class Layout:
    """A cluster as its launch file has it."""

    provider: str
    kinds: Sequence[NodeKind]
    max_workers: int
    """How many workers there may be of all kinds together."""

    @property
    def workers(self) -> Sequence[NodeKind]:
        """The kinds that autoscaling starts and ends."""
        return [kind for kind in self.kinds if not kind.head]


def unchanged(config: object) -> Iterator[str]:
    """Yield where a value still holds the word CHANGE; one behind aliases is named once."""
    named: set[str] = set()
    for place, value in strings(config, ""):
        if MARK in value and value not in named:
            named.add(value)
            yield f"{place}: {value!r} is still to be changed"


def close_to(name: str, known: Iterable[str]) -> str:
    """Give a hint at the known name that was meant, or at all of them."""
    names = sorted(known)
    near = get_close_matches(name, names, 1)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(names)}"


def strings(config: object, place: str) -> Iterator[tuple[str, str]]:
    """Yield every text in a configuration that stands at `place`, after its own place."""
    if isinstance(config, str):
        yield place, config
    elif isinstance(config, Mapping):
        for key, value in config.items():
            yield from strings(value, f"{place}.{key}" if place else str(key))
    elif isinstance(config, Sequence):
        for i, value in enumerate(config):
            yield from strings(value, f"{place}[{i}]")
