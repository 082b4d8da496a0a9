import io
import json
import re
import time
from pathlib import Path

import pytest
from rich.console import Console

from distmerge.coordinator import FeatureKey, FeatureLine, Progress
from distmerge.errors import CapacityError
from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.spec import ModelFiles, Pipeline, run_config
from distmerge.sweep import run_sweep
from distmerge.sweep.progress import desk as module
from distmerge.sweep.progress.account import find_account
from distmerge.sweep.progress.board import Board, Ended
from distmerge.sweep.progress.desk import accounted, watched
from distmerge.sweep.search.search import Suggestion
from tests.sweep.studies import console, study_of

ONE = [{"stages": ["weight_averaging"]}]


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(str(tmp_path), HYPERS)


def suggestion(run_id: str) -> Suggestion:
    config = run_config(Pipeline(stages=("task_arithmetic",)), {}, 0, HYPERS)
    return Suggestion(0, 0, config, run_id)


def test_an_account_says_how_far_features_and_runs_are(store: RunStore) -> None:
    board = Board(Console(file=io.StringIO()), total=3)
    with accounted(store, "tiny") as desk:
        before = desk.account()
        desk.plan(board)
        desk.report("5 actors pin 5 models")
        desk.report(FeatureLine.of(2, 5, FeatureKey("alpha", "beta", "adapt", "")))
        streaming = desk.account()
        board.started(suggestion("one"))
        board.ended(suggestion("one"), Ended(0.5, 0.5, 1.0, None))
        board.started(suggestion("two"))
        board.stepped(Progress("coefficients", 3, 9, 0.1, 0.75))
        board.stepped(Progress("coefficients", 4, 9, 0.1))
        running = desk.account()
    assert (before.phase, before.features, before.total) == ("start", None, None)
    assert (streaming.phase, streaming.features, streaming.total) == ("features", (2, 5), 3)
    assert (streaming.eta_s, streaming.running) == (None, ())
    assert running.phase == "runs"
    assert running.eta_s is not None
    (run,) = running.running
    assert (run.run_id, run.method, run.settings) == ("two", "task_arithmetic", "defaults")
    assert (run.problem, run.step, run.steps, run.score) == ("coefficients", 4, 9, 0.75)


def test_an_account_is_in_the_storage_while_the_sweep_lasts_and_after(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WRITE_S", 0.01)
    with accounted(store, "tiny"):
        end = time.monotonic() + 20
        while (first := find_account(store, "tiny")) is None:
            assert time.monotonic() < end
        while (later := find_account(store, "tiny")) == first:
            assert time.monotonic() < end
        assert later is not None
        assert later.ending is None
    last = find_account(store, "tiny")
    assert last is not None
    assert (last.phase, last.ending) == ("ended", "finished")


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (KeyboardInterrupt("Ctrl-C"), "stopped"),
        (CapacityError("too small\nby far"), "failed: CapacityError: too small"),
        (OSError(), "failed: OSError: "),
    ],
)
def test_an_account_says_how_a_sweep_ended(
    error: BaseException, ending: str, store: RunStore
) -> None:
    said = re.escape(str(error)) or "^$"
    with pytest.raises(type(error), match=said), accounted(store, "tiny"):
        raise error
    found = find_account(store, "tiny")
    assert found is not None
    assert found.ending == ending


def test_a_storage_that_cannot_be_written_costs_the_account_alone(
    store: RunStore, tmp_path: Path
) -> None:
    (tmp_path / "_studies").write_text("")
    with accounted(store, "tiny"):
        pass


def events(folder: Path) -> list[str]:
    return [
        json.loads(line)["event"]
        for path in sorted(folder.rglob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]


def test_a_sweep_leaves_its_log_and_its_account(
    world: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTMERGE_CACHE", str(tmp_path / "cache"))
    study = study_of(world, tmp_path / "results", ray=False, pipelines=ONE)
    run_sweep(study, console())
    found = events(tmp_path / "results" / "_logs" / "tiny")
    assert found[:2] == ["sweep_started", "planned"]
    assert found.count("features") == 18
    assert found[-5:] == ["run_ended", "run_ended", "run_started", "run_ended", "sweep_ended"]
    account = find_account(RunStore(study.storage, HYPERS), "tiny")
    assert account is not None
    assert (account.ending, account.features, account.total) == ("finished", (18, 18), 1)


def test_a_sweep_that_fails_says_so_and_the_error_goes_on(
    world: ModelFiles, tmp_path: Path
) -> None:
    study, store = study_of(world, tmp_path), RunStore(str(tmp_path), HYPERS)
    with pytest.raises(KeyboardInterrupt, match=r"^$"), watched(store, study):
        raise KeyboardInterrupt
    assert events(tmp_path) == ["sweep_started", "sweep_ended"]


def test_logs_are_left_out_by_one_setting(world: ModelFiles, tmp_path: Path) -> None:
    study = study_of(world, tmp_path, logs=False)
    with watched(RunStore(str(tmp_path), HYPERS), study):
        pass
    assert not (tmp_path / "_logs").exists()
