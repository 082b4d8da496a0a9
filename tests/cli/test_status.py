import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from distmerge.cli import main
from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.sweep.progress.account import write_account
from distmerge.sweep.progress.lease import Holder
from tests.cli.messages import failure
from tests.report.leaderboards import STUDY, failed, run
from tests.sweep.progress.test_account import ACCOUNT


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    found = RunStore(str(tmp_path / "results"), HYPERS)
    found.append(run("a", "ties", 0.5, 0.25))
    return found


def runs(store: RunStore) -> None:
    """Have this process's parent run the sweep."""
    now, pid, host = datetime.now(UTC), os.getppid(), socket.gethostname()
    holder = Holder(token="t", host=host, pid=pid, since=now, seen=now)
    store.write_file(f"_studies/{STUDY}.lease", holder.model_dump_json().encode())
    write_account(
        store, STUDY, ACCOUNT.model_copy(update={"pid": pid, "since": now, "written_at": now})
    )


def ended(store: RunStore, ending: str) -> None:
    write_account(store, STUDY, ACCOUNT.model_copy(update={"ending": ending, "phase": "ended"}))


def test_a_running_sweep_is_shown_with_its_runs(
    store: RunStore, capsys: pytest.CaptureFixture[str]
) -> None:
    runs(store)
    assert main(["status", store.root]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"study      {STUDY}"
    assert lines[1].startswith(f"state      running: runs (process {os.getppid()} on ")
    assert lines[2:6] == [
        f"results    {store.place}",
        "features   3 of 9",
        "runs       1 of 5 done, 1 in progress, ETA 12 s",
        "best       ties, run a: score 0.5000, accuracy 25.0 %",
    ]
    assert lines[7].split() == ["run", "method", "settings", "problem", "step", "score", "s"]
    assert lines[8].split() == ["r", "surgery", "defaults", "-", "3/9", "-", "2"]


def test_a_status_as_json_has_the_same(store: RunStore, capsys: pytest.CaptureFixture[str]) -> None:
    runs(store)
    assert main(["status", store.root, "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["features"], found["total"]) == ("running", [3, 9], 5)
    assert found["running"][0]["step"] == 3


@pytest.mark.parametrize(
    ("ending", "code"), [("finished", 0), ("stopped", 4), ("failed: CapacityError: no room", 4)]
)
def test_the_exit_code_says_how_it_ended(ending: str, code: int, store: RunStore) -> None:
    ended(store, ending)
    assert main(["status", store.root]) == code


def test_a_finished_sweep_with_failed_runs_has_exit_code_one(
    store: RunStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.append(failed("b", "ties"))
    ended(store, "finished")
    assert main(["status", store.root]) == 1
    assert "runs       1 done, 1 failed\n" in capsys.readouterr().out


def test_a_place_without_a_sweep_is_wrong_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no results here" in failure(capsys, "status", str(tmp_path))
