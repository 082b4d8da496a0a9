"""What the storage remembers of runs that have not ended."""

from pathlib import Path

import pytest

from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.spec import RunConfig
from distmerge.sweep.search.unfinished import (
    Unfinished,
    all_unfinished,
    find_unfinished,
    plain_run,
    remove_unfinished,
    run_of,
    write_unfinished,
)
from tests.coordinator.sessions import config_of

CONFIG = config_of({"adamerging.steps": 6, "adamerging.keep": "best"}, "adamerging", "surgery")


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(str(tmp_path), HYPERS)


def at(moment: str, config: RunConfig = CONFIG) -> Unfinished:
    return Unfinished(config, f"2026-01-01T00:00:{moment}+00:00")


def test_a_run_as_plain_values_is_the_same_run() -> None:
    assert run_of(plain_run(CONFIG)) == CONFIG


def test_what_is_written_is_found(store: RunStore) -> None:
    assert find_unfinished(store, "tiny", "a") is None
    run = at("01")._replace(rungs={4: 0.5, 8: 0.25}, is_pruned=True)
    write_unfinished(store, "tiny", "a", run)
    assert find_unfinished(store, "tiny", "a") == run
    assert find_unfinished(store, "other", "a") is None


def test_runs_are_given_in_the_order_in_which_they_were_asked_for(store: RunStore) -> None:
    for run_id, moment in {"a": "03", "b": "01", "c": "02"}.items():
        write_unfinished(store, "tiny", run_id, at(moment))
    assert list(all_unfinished(store, "tiny")) == ["b", "c", "a"]
    assert list(all_unfinished(store, "tiny", {"c"})) == ["b", "a"]


def test_a_run_that_ended_is_forgotten(store: RunStore) -> None:
    write_unfinished(store, "tiny", "a", at("01"))
    remove_unfinished(store, "tiny", "a")
    remove_unfinished(store, "tiny", "a")
    assert all_unfinished(store, "tiny") == {}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b'{"4": 0.5}',
        b'{"stages": ["adamerging"], "values": {"adamerging.lr": "x"}, "seed": 0, "rungs": {}}',
        b'{"stages": ["no_more"], "values": {}, "seed": 0, "rungs": {}}',
    ],
    ids=repr,
)
def test_what_another_version_wrote_is_nothing(store: RunStore, content: bytes) -> None:
    store.write_file("_runs/tiny/a.json", content)
    assert all_unfinished(store, "tiny") == {}
