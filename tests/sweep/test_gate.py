from pathlib import Path

import pytest

from distmerge.errors import CheckpointError
from distmerge.spec import ModelFiles
from distmerge.sweep import run_sweep
from tests.sweep.studies import console, rows_of, study_of

ONE = [{"stages": ["weight_averaging"]}]


@pytest.fixture
def swapped(world: ModelFiles) -> ModelFiles:
    """The world with the checkpoints of its first two tasks swapped."""
    alpha, beta, gamma = world.tasks
    tasks = (
        alpha.model_copy(update={"checkpoint": beta.checkpoint}),
        beta.model_copy(update={"checkpoint": alpha.checkpoint}),
        gamma,
    )
    return world.model_copy(update={"tasks": tasks})


def test_swapped_checkpoints_stop_the_sweep_and_are_named(
    swapped: ModelFiles, tmp_path: Path
) -> None:
    study = study_of(swapped, tmp_path, pipelines=ONE, ray=False)
    with pytest.raises(CheckpointError, match="not better than the pretrained one") as caught:
        run_sweep(study, console())
    message = str(caught.value)
    assert "task alpha: select accuracy 0." in message
    assert "task beta: select accuracy 0." in message
    assert "task gamma" not in message
    assert "sanity: warn" in message
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize(("sanity", "warned"), [("warn", True), ("off", False)])
def test_the_override_lets_the_sweep_go_on(
    sanity: str, warned: bool, swapped: ModelFiles, tmp_path: Path
) -> None:
    study = study_of(swapped, tmp_path, pipelines=ONE, ray=False, sanity=sanity)
    shown = console()
    run_sweep(study, shown)
    assert not rows_of(study).empty
    text = shown.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    assert ("warning: fine-tuned models that are not better" in text) is warned
