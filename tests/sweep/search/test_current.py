import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from distmerge.models import load_state, save_state
from distmerge.spec import ModelFiles
from distmerge.sweep import run_sweep
from distmerge.sweep.prepare import prepare
from distmerge.sweep.search.current import current_rows, stored_config
from tests.sweep.studies import console, study_of

SURGERY = [{"stages": ["weight_averaging", "surgery"], "settings": {"surgery.steps": 20}}]
AVERAGING = [{"stages": ["weight_averaging"]}]


def silent(_line: str) -> None:
    """Report nothing."""


@pytest.fixture
def own_world(world: ModelFiles, tmp_path: Path) -> ModelFiles:
    """The world of the tests, in a folder that a test may change."""
    folder = tmp_path / "world"
    shutil.copytree(world.base.parent, folder)
    text = world.model_dump_json().replace(str(world.base.parent), str(folder))
    return ModelFiles.model_validate_json(text)


def test_a_run_of_another_checkpoint_is_not_the_best_of_todays(
    own_world: ModelFiles, tmp_path: Path
) -> None:
    run_sweep(study_of(own_world, tmp_path / "r", ray=False, pipelines=SURGERY), console())
    path = own_world.tasks[0].checkpoint
    save_state(path, {name: tensor * 1.01 for name, tensor in load_state(path).items()})
    (tmp_path / "r" / "_studies" / "tiny.json").unlink()  # as an earlier version left it
    study = study_of(own_world, tmp_path / "r", ray=False, pipelines=AVERAGING)
    result = run_sweep(study, console())
    assert set(result.leaderboard["method"]) == {"weight_averaging", "individual", "pretrained"}
    assert result.best is not None
    assert result.best.method == "weight_averaging"
    prepared = prepare(study, silent)
    mean = prepared.vectors.base + prepared.vectors.vectors.mean(dim=0)
    found = prepared.vectors.layout.flatten(load_file(result.best.tower))
    torch.testing.assert_close(found, mean, rtol=0, atol=1e-6)


def test_another_order_of_the_tasks_is_another_run(world: ModelFiles, tmp_path: Path) -> None:
    run_sweep(study_of(world, tmp_path, ray=False, pipelines=AVERAGING), console())
    turned = world.model_copy(update={"tasks": tuple(reversed(world.tasks))})
    study = study_of(turned, tmp_path, ray=False, pipelines=AVERAGING)
    prepared = prepare(study, silent)
    assert prepared.search.remaining == 1
    assert current_rows(prepared.store.records("tiny"), study, prepared.digests).empty


def test_runs_of_todays_inputs_are_all_current(world: ModelFiles, tmp_path: Path) -> None:
    study = study_of(world, tmp_path, ray=False)
    run_sweep(study, console())
    prepared = prepare(study, silent)
    rows = prepared.store.records("tiny")
    assert len(current_rows(rows, study, prepared.digests)) == len(rows)


def test_stored_values_have_the_types_of_their_hyperparameters(
    world: ModelFiles, tmp_path: Path
) -> None:
    study = study_of(world, tmp_path, ray=False, pipelines=SURGERY)
    run_sweep(study, console())
    rows = prepare(study, silent).store.records("tiny")
    row = rows[rows["method"] == "weight_averaging+surgery"].iloc[0]
    values = stored_config(row.to_dict()).values()
    assert values["surgery.steps"] == 20
    assert isinstance(values["surgery.rank"], int)
