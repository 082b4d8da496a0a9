import os
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from distmerge.errors import ConfigError, ResultsError
from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.spec import ModelFiles
from distmerge.sweep.progress.account import Account, write_account
from distmerge.sweep.progress.lease import Holder
from distmerge.sweep.progress.status import sweep_status
from tests.report.leaderboards import failed, run
from tests.sweep.progress.test_account import ACCOUNT
from tests.sweep.studies import written

STUDY = run("a", "ties", 0.5, 0.5).study


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(str(tmp_path / "results"), HYPERS)


def held(store: RunStore, *, pid: int | None = None, seen_s: float = 0.0) -> None:
    """Have a process that lives hold the study."""
    seen = datetime.now(UTC) - timedelta(seconds=seen_s)
    pid, host = pid or os.getppid(), socket.gethostname()
    holder = Holder(token="t", host=host, pid=pid, since=seen, seen=seen)
    store.write_file(f"_studies/{STUDY}.lease", holder.model_dump_json().encode())


def said(store: RunStore, **changes: object) -> Account:
    now = datetime.now(UTC)
    update = {"written_at": now, "since": now, "pid": os.getppid(), **changes}
    account = ACCOUNT.model_copy(update=update)
    write_account(store, STUDY, account)
    return account


def test_a_sweep_that_runs_says_where_it_is(store: RunStore) -> None:
    held(store, seen_s=4)
    account = said(store)
    store.append(run("a", "ties", 0.5, 0.25))
    store.append(run("b", "surgery", 0.75, 0.5))
    store.append(failed("c", "ties"))
    store.append(run("i", "individual", None, 0.9))
    found = sweep_status(store.root)
    assert (found.state, found.phase, found.features) == ("running", "runs", (3, 9))
    assert (found.total, found.done, found.failed, found.pruned) == (5, 2, 1, 0)
    assert found.running == account.running
    assert (found.host, found.pid) == (socket.gethostname(), os.getppid())
    assert found.seen_s == pytest.approx(4, abs=3)
    assert found.eta_s == pytest.approx(12.5, abs=3)
    assert found.best is not None
    assert (found.best.run_id, found.best.score, found.best.accuracy) == ("b", 0.75, 0.5)


@pytest.mark.parametrize(
    ("ending", "state"),
    [
        ("finished", "finished"),
        ("stopped", "stopped"),
        ("failed: CapacityError: no room", "failed"),
        (None, "lost"),
    ],
)
def test_a_sweep_without_a_driver_says_how_it_ended(
    ending: str | None, state: str, store: RunStore
) -> None:
    said(store, ending=ending)
    found = sweep_status(store.root)
    assert (found.state, found.ending) == (state, ending)
    assert (found.running, found.eta_s, found.best) == ((), None, None)


def test_a_driver_that_was_killed_is_lost_though_it_left_its_lease(store: RunStore) -> None:
    held(store, seen_s=3600)
    said(store)
    assert sweep_status(store.root).state == "lost"


def test_what_the_last_driver_said_is_not_taken_for_the_new_one(store: RunStore) -> None:
    said(store, ending="stopped")
    held(store)
    found = sweep_status(store.root)
    assert (found.state, found.ending, found.total) == ("running", None, None)


def test_a_driver_that_has_said_how_it_ended_has_though_it_holds_the_study_still(
    store: RunStore,
) -> None:
    held(store)
    said(store, ending="finished")
    assert sweep_status(store.root).state == "finished"


def test_rows_of_a_version_that_said_nothing_are_counted(store: RunStore) -> None:
    store.append(run("a", "ties", 0.5, 0.25))
    found = sweep_status(store.root)
    assert (found.state, found.done, found.pid) == ("unknown", 1, None)


def test_a_study_file_names_storage_and_study(
    store: RunStore, world: ModelFiles, tmp_path: Path
) -> None:
    path = written(world, tmp_path, study=STUDY)
    said(store, ending="finished")
    assert sweep_status(str(path)).results == store.place


def test_one_of_several_studies_has_to_be_named(store: RunStore) -> None:
    for study in (STUDY, "other"):
        store.append(replace(run("a", "ties", 0.5, 0.25), study=study))
    with pytest.raises(ConfigError, match="choose one with --study"):
        sweep_status(store.root)
    assert sweep_status(store.root, "other").study == "other"


def test_a_study_that_has_no_row_yet_is_one_of_several(store: RunStore) -> None:
    store.append(replace(run("a", "ties", 0.5, 0.25), study="other"))
    said(store)
    with pytest.raises(ConfigError, match=f"2 studies .*{STUDY}.*choose one with --study"):
        sweep_status(store.root)
    assert sweep_status(store.root, STUDY).done == 0


def test_a_place_without_a_sweep_is_named(store: RunStore) -> None:
    with pytest.raises(ResultsError, match="no results here"):
        sweep_status(store.root)
