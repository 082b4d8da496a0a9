import json
from dataclasses import replace
from pathlib import Path

import pytest

from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.sweep.progress import journal as module
from distmerge.sweep.progress.journal import Journal
from distmerge.sweep.progress.steps import Standing, Told
from tests.results.records import RECORD


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(str(tmp_path), HYPERS)


def told(step: int) -> Told:
    return Told(RECORD.run_id, RECORD.stages, Standing("coefficients", step, 9, 0.5), ())


def events(folder: Path) -> list[tuple[str, object]]:
    """Give the events of the only log, each with its step or status."""
    (path,) = folder.rglob("*-writer.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [(line["event"], line.get("status", line.get("step"))) for line in lines]


def test_a_run_stands_where_it_was_told_until_it_ends(store: RunStore) -> None:
    journal = Journal(store, "tiny")
    journal.told(told(3))
    journal.told(told(4))
    assert journal.standings == {RECORD.run_id: Standing("coefficients", 4, 9, 0.5)}
    journal.ended(RECORD)
    assert journal.standings == {}


def test_the_log_has_the_life_of_a_run_and_few_of_its_steps(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(store, "tiny", logs=True)
    journal.began(RECORD.run_id, RECORD.stages, again=False)
    journal.told(told(1))
    journal.told(told(2))
    monkeypatch.setattr(module, "LOG_S", 0.0)
    journal.told(told(3))
    journal.looked(RECORD.run_id, 4, 0.5, stays=True)
    journal.ended(replace(RECORD, status="error", error="lr too high"))
    journal.close()
    assert events(tmp_path) == [
        ("writer_started", None),
        ("run_started", None),
        ("run_step", 1),
        ("run_step", 3),
        ("run_rung", 4),
        ("run_ended", "error"),
    ]


def test_a_run_that_was_begun_before_says_so(store: RunStore, tmp_path: Path) -> None:
    journal = Journal(store, "tiny", logs=True)
    journal.began(RECORD.run_id, RECORD.stages, again=True)
    journal.close()
    assert events(tmp_path) == [("writer_started", None), ("run_again", None)]
