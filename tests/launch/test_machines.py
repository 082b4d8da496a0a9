from dataclasses import replace
from datetime import date

import pytest

from distmerge.launch.kinds import Layout, NodeKind
from distmerge.launch.machines import machine_table, price, resource_problems

HEAD = NodeKind("head", "m7i.2xlarge", {"CPU": 0.0}, 1, 1, head=True)
ONE = NodeKind("one", "g6.2xlarge", {"CPU": 8.0, "GPU": 1.0}, 1, 2)
SPOT = NodeKind("spot", "g6.48xlarge", {"CPU": 192.0, "GPU": 8.0}, 0, 3, spot=True)
LAYOUT = Layout("aws", [HEAD, ONE, SPOT], 4)


def test_the_table_is_dated_and_every_range_is_in_order() -> None:
    table = machine_table()
    assert date.fromisoformat(table.as_of).year >= 2026
    machines = [m for of_provider in table.machines.values() for m in of_provider.values()]
    assert {machine.source for machine in machines} == table.sources.keys()
    for machine in machines:
        assert machine.spot[0] <= machine.spot[1] <= machine.on_demand[1]
        assert machine.on_demand[0] <= machine.on_demand[1]


def test_a_price_is_the_sum_over_the_nodes() -> None:
    found = price(LAYOUT)
    assert found is not None
    assert found.smallest == pytest.approx((0.35 + 0.98, 0.50 + 0.98))
    # the dearest four of the workers: three of eight GPUs and one of one
    assert found.largest == pytest.approx((0.35 + 0.98 + 3 * 3.16, 0.50 + 0.98 + 3 * 6.28))
    assert found.notes[0].startswith("as of 20")
    assert [note.partition(":")[0] for note in found.notes[1:]] == ["catalog", "estimate"]


def test_a_machine_without_a_price_is_named() -> None:
    found = price(replace(LAYOUT, kinds=[HEAD, replace(ONE, machine="p9.large")]))
    assert found is not None
    assert found.unknown == ("p9.large",)
    assert found.largest == (0.35, 0.50)


def test_there_is_no_price_of_own_machines() -> None:
    assert price(replace(LAYOUT, provider="local")) is None


@pytest.mark.parametrize(
    ("resources", "problem"),
    [
        ({"CPU": 9.0, "GPU": 1.0}, "one: resources say 9 CPU; a g6.2xlarge has 8"),
        ({"CPU": 8.0, "GPU": 2.0}, "one: resources say 2 GPU; a g6.2xlarge has 1"),
        ({"CPU": 8.0}, "one: resources say 0 GPU; a g6.2xlarge has 1"),
    ],
)
def test_promises_that_a_machine_cannot_keep_are_found(
    resources: dict[str, float], problem: str
) -> None:
    layout = replace(LAYOUT, kinds=[HEAD, replace(ONE, resources=resources)])
    assert list(resource_problems(layout)) == [problem]


def test_fewer_cores_than_the_machine_has_are_no_problem() -> None:
    assert list(resource_problems(LAYOUT)) == []
