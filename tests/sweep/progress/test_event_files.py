import importlib.util
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from distmerge.coordinator import Progress
from distmerge.errors import ConfigError
from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.spec import ModelFiles
from distmerge.sweep.progress.event_files import EventFiles, check_tensorboard
from distmerge.sweep.progress.journal import Journal
from distmerge.sweep.progress.steps import Point, Standing, Told
from distmerge.sweep.trial import Recorder, attempt
from tests.coordinator.sessions import config_of, session_of

LEARNING: dict[str, float | str] = {
    "adamerging.steps": 6,
    "adamerging.batch_size": 4,
    "adamerging.keep": "best",
    "adamerging.check_every": 2,
}


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(str(tmp_path), HYPERS)


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Give what TensorBoard would show of a run."""
    found = EventAccumulator(str(folder)).Reload()
    return {
        tag: [(event.step, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def told(*losses: float, first: int = 1, score: float | None = None) -> Told:
    points = [
        Point("coefficients", first + i, loss, score, {"alpha": 0.5})
        for i, loss in enumerate(losses)
    ]
    return Told("r", "adamerging", Standing("coefficients", first, 9), tuple(points))


def drawn(store: RunStore, attempts: Sequence[Told]) -> dict[str, list[tuple[int, float]]]:
    for news in attempts:
        files = EventFiles(store, "tiny")
        files.draw(news)
        files.close()
    return curves(Path(store.place) / "_tensorboard/tiny/adamerging-r")


def test_a_run_has_curves_by_problem_and_task(store: RunStore) -> None:
    assert drawn(store, [told(0.5, 0.25, score=0.75)]) == {
        "loss/coefficients": [(1, 0.5), (2, 0.25)],
        "score/coefficients": [(1, 0.75), (2, 0.75)],
        "coefficient/alpha": [(1, 0.5), (2, 0.5)],
    }


def test_steps_that_a_run_does_again_are_shown_once(store: RunStore) -> None:
    found = drawn(store, [told(0.5, 0.25, 0.125), told(math.nan, 1.0, first=1)])
    assert found["loss/coefficients"] == [(1, 0.5), (2, 1.0)]


def test_steps_without_a_number_leave_no_file(store: RunStore, tmp_path: Path) -> None:
    files = EventFiles(store, "tiny")
    files.draw(told(math.nan))
    files.close()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_costs_the_curves_and_is_named_once(
    store: RunStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "_tensorboard").write_text("")
    files = EventFiles(store, "tiny")
    files.draw(told(0.5))
    files.draw(told(0.25, first=2))
    files.close("r")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "TensorBoard's event files cannot be written" in caplog.text


def interrupted(progress: Progress) -> None:
    if progress.step == 4:
        raise KeyboardInterrupt


def test_a_run_that_was_interrupted_has_each_step_once(
    world: ModelFiles, store: RunStore, tmp_path: Path
) -> None:
    session, config = session_of(world), config_of(LEARNING, "adamerging")
    session = replace(session, study=session.study.model_copy(update={"tensorboard": True}))
    journal = partial(Journal, store, "tiny", tensorboard=True)
    first = Recorder(store, "tiny", None, journal)
    with pytest.raises(KeyboardInterrupt):
        attempt(session, config, "a", interrupted, first)
    first.close()
    second = Recorder(store, "tiny", None, journal)
    second.append(attempt(session, config, "b", states=second))
    (folder,) = (tmp_path / "_tensorboard/tiny").iterdir()
    found = curves(folder)
    assert [step for step, _ in found["loss/coefficients"]] == [1, 2, 3, 5, 6]
    assert [step for step, _ in found["score/coefficients"]] == [2, 6]
    names = {f"coefficient/{task.name}" for task in world.tasks}
    assert names <= found.keys()
    assert len(list(folder.iterdir())) == 2


def test_a_missing_package_is_named_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check_tensorboard()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'distmerge\[tensorboard\]'"):
        check_tensorboard()
