import io
import os
import signal
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from distmerge.spec import ModelFiles
from distmerge.sweep import run_sweep
from tests.sweep.processes import TASK_ACTOR, children_of_this_process
from tests.sweep.studies import DIVERGING, console, rows_of, study_of

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]


@pytest.mark.parametrize(
    "layout",
    [
        pytest.param({"actors": 1}, marks=pytest.mark.slow, id="one actor"),
        pytest.param({"actors": 2, "gradient": "actors"}, id="two actors that compute gradients"),
        pytest.param({"actors": 3, "max_concurrent": 1}, marks=pytest.mark.slow, id="three actors"),
    ],
)
def test_a_sweep_on_ray_gives_the_rows_of_this_process(
    layout: dict[str, object],
    world: ModelFiles,
    serial: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DISTMERGE_CACHE", str(tmp_path / "cache"))
    study = study_of(world, tmp_path / "results", ray={"timeout_s": 120.0, **layout})
    result = run_sweep(study, console())
    assert result.failed == 0
    pd.testing.assert_frame_equal(rows_of(study), serial, rtol=1e-5, atol=1e-6)


class Murderer(io.StringIO):
    """Kills a task actor of this test's cluster as soon as the first features are in."""

    victim: int | None = None

    def write(self, text: str) -> int:
        if self.victim is None and text.startswith("features 1/"):
            self.victim = children_of_this_process(TASK_ACTOR)[-1]
            os.kill(self.victim, signal.SIGKILL)
        return super().write(text)


@pytest.mark.slow
def test_a_task_actor_killed_while_it_streams_changes_no_row(
    world: ModelFiles,
    serial: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DISTMERGE_CACHE", str(tmp_path / "cache"))
    study = study_of(world, tmp_path / "results", ray={"timeout_s": 120.0, "actors": 2})
    murderer = Murderer()
    run_sweep(study, Console(file=murderer, width=120))
    assert murderer.victim is not None
    assert "features 18/18" in murderer.getvalue()
    pd.testing.assert_frame_equal(rows_of(study), serial, rtol=1e-5, atol=1e-6)


def test_a_run_that_fails_on_ray_is_a_row_and_the_sweep_goes_on(
    world: ModelFiles, tmp_path: Path
) -> None:
    study = study_of(world, tmp_path, pipelines=DIVERGING, ray={"timeout_s": 120.0})
    result = run_sweep(study, console())
    rows = rows_of(study)
    assert result.failed == 1
    assert set(rows[rows["method"] == "adamerging"]["status"]) == {"error"}
    assert set(rows[rows["method"] == "weight_averaging"]["status"]) == {"ok"}


@pytest.mark.slow
def test_corrupted_and_unseen_suites_on_ray_equal_those_of_this_process(
    world: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suites = {
        "pipelines": [{"stages": ["task_arithmetic"]}],
        "levels": ["L1", "L3"],
        "unseen": ["beta"],
    }
    here = study_of(world, tmp_path / "here", ray=False, **suites)
    run_sweep(here, console())
    monkeypatch.setenv("DISTMERGE_CACHE", str(tmp_path / "cache"))
    there = study_of(world, tmp_path / "there", ray={"timeout_s": 120.0}, **suites)
    run_sweep(there, console())
    pd.testing.assert_frame_equal(rows_of(there), rows_of(here), rtol=1e-5, atol=1e-6)
    assert set(rows_of(here)["suite"]) == {"select", "clean", "corrupted", "unseen"}
