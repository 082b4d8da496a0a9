"""What machines have and cost, from one small dated table."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal, NamedTuple

import yaml
from pydantic import Field

from distmerge.launch.kinds import Layout, NodeKind
from distmerge.spec import Frozen

Dollars = Annotated[float, Field(ge=0)]
Range = tuple[Dollars, Dollars]


class Machine(Frozen):
    """One machine type of a provider."""

    cpus: int
    gpus: int
    on_demand: Range
    """From and to, US dollars an hour."""
    spot: Range
    """The same, for capacity that can be taken away."""
    source: Literal["catalog", "estimate"]
    """Where the prices are from; a key of the table's sources."""


class Table(Frozen):
    """The machines by provider and name, when they were looked up, and where to look again."""

    as_of: str
    look: dict[str, str]
    sources: dict[str, str]
    machines: dict[str, dict[str, Machine]]


class Price(NamedTuple):
    """What a cluster costs an hour, in US dollars."""

    smallest: Range
    """With the workers that are always up, from and to."""
    largest: Range
    """With as many workers as there may be, the dearest first."""
    unknown: Sequence[str]
    """Machines without a price; they are in no range."""
    notes: Sequence[str]
    """Date, sources, and where to look."""


@cache
def machine_table() -> Table:
    """Give the table that this version ships."""
    text = files(__package__).joinpath("machines.yaml").read_text(encoding="utf-8")
    return Table.model_validate(yaml.safe_load(text))


def price(layout: Layout) -> Price | None:
    """Give what a cluster costs an hour; nothing where the provider sends no bill by machine."""
    table = machine_table()
    machines = table.machines.get(layout.provider)
    if machines is None:
        return None
    known = [kind for kind in layout.kinds if kind.machine in machines]
    always = [(kind, kind.smallest) for kind in known]
    used = {machines[kind.machine].source for kind in known}
    notes = [f"{source}: {table.sources[source]}" for source in sorted(used)]
    return Price(
        _sum(machines, always),
        _sum(machines, _dearest(layout, machines, known)),
        tuple(dict.fromkeys(k.machine for k in layout.kinds if k.machine not in machines)),
        (f"as of {table.as_of}; look at {table.look[layout.provider]}", *notes),
    )


def resource_problems(layout: Layout) -> Iterator[str]:
    """Yield where a kind promises Ray what its machine does not have, or leaves GPUs idle."""
    machines = machine_table().machines.get(layout.provider, {})
    for kind in layout.kinds:
        machine = machines.get(kind.machine)
        if machine is None:
            continue
        cpus, gpus = kind.resources.get("CPU", 0), kind.resources.get("GPU", 0)
        if cpus > machine.cpus:
            yield f"{kind.name}: resources say {cpus:g} CPU; a {kind.machine} has {machine.cpus}"
        if gpus != machine.gpus:
            yield f"{kind.name}: resources say {gpus:g} GPU; a {kind.machine} has {machine.gpus}"


def _dearest(
    layout: Layout, machines: dict[str, Machine], known: Sequence[NodeKind]
) -> Iterator[tuple[NodeKind, int]]:
    left = layout.max_workers
    for kind in sorted(known, key=lambda kind: -_hourly(machines, kind)[1]):
        count = 1 if kind.head else min(kind.largest, left)
        left -= 0 if kind.head else count
        yield kind, count


def _sum(machines: dict[str, Machine], counts: Iterable[tuple[NodeKind, int]]) -> Range:
    each = [(_hourly(machines, kind), count) for kind, count in counts]
    return (
        sum(hourly[0] * count for hourly, count in each),
        sum(hourly[1] * count for hourly, count in each),
    )


def _hourly(machines: dict[str, Machine], kind: NodeKind) -> Range:
    machine = machines[kind.machine]
    return machine.spot if kind.spot else machine.on_demand
