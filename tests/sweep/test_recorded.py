import shutil
from pathlib import Path

from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.spec import ModelFiles
from distmerge.sweep import run_sweep
from distmerge.sweep.export.rebuild import found
from distmerge.sweep.recorded import recorded_inputs
from tests.sweep.studies import console, study_of

PIPELINES = [{"stages": ["weight_averaging"]}]


def test_files_that_have_moved_are_found_after_the_sweep_has_seen_them(
    world: ModelFiles, tmp_path: Path
) -> None:
    study = study_of(world, tmp_path / "results", ray=False, pipelines=PIPELINES)
    run_sweep(study, console())
    store = RunStore(study.storage, HYPERS)
    row = found(store, "")
    assert recorded_inputs(store, row).files == world
    shutil.copytree(world.base.parent, tmp_path / "moved")
    text = world.model_dump_json().replace(str(world.base.parent), str(tmp_path / "moved"))
    moved = ModelFiles.model_validate_json(text)
    run_sweep(study.model_copy(update={"models": moved}), console())
    assert recorded_inputs(store, row).files == moved


def test_unseen_tasks_are_recorded_and_have_classes_of_no_use(
    world: ModelFiles, tmp_path: Path
) -> None:
    study = study_of(world, tmp_path / "results", ray=False, pipelines=PIPELINES, unseen=["gamma"])
    run_sweep(study, console())
    store = RunStore(study.storage, HYPERS)
    inputs = recorded_inputs(store, found(store, ""))
    assert inputs.unseen == ("gamma",)
    assert set(inputs.classes) == {"alpha", "beta"}
    assert set(inputs.heads) == {"alpha", "beta", "gamma"}
