import shutil
from pathlib import Path

import pytest
import torch

from distmerge.errors import CheckpointError, ResultsError
from distmerge.methods import HYPERS
from distmerge.models import load_state, save_state
from distmerge.results import RunStore
from distmerge.spec import ModelFiles
from distmerge.sweep import export_run, run_sweep
from distmerge.sweep.export.rebuild import found, rebuilt
from tests.sweep.studies import console, study_of

PIPELINES = [{"stages": ["weight_averaging"]}, {"stages": ["task_arithmetic"]}]


@pytest.fixture
def files(world: ModelFiles, tmp_path: Path) -> ModelFiles:
    """The world of the tests, in a folder that a test may change."""
    folder = tmp_path / "world"
    shutil.copytree(world.base.parent, folder)
    text = world.model_dump_json().replace(str(world.base.parent), str(folder))
    return ModelFiles.model_validate_json(text)


@pytest.fixture
def store(files: ModelFiles, tmp_path: Path) -> RunStore:
    """The results of a small sweep of it."""
    study = study_of(files, tmp_path / "results", ray=False, pipelines=PIPELINES)
    run_sweep(study, console())
    return RunStore(study.storage, HYPERS)


def a_run(store: RunStore) -> str:
    rows = store.finished("tiny")
    return str(rows[rows["method"] == "weight_averaging"]["run_id"].iloc[0])


def changed(path: Path) -> None:
    save_state(path, {name: 2 * tensor for name, tensor in load_state(path).items()})


def test_a_run_is_rebuilt_from_files_without_its_images(store: RunStore, files: ModelFiles) -> None:
    for task in files.tasks:
        assert isinstance(task.data, Path)
        shutil.rmtree(task.data)
    run = rebuilt(store, found(store, a_run(store)))
    assert run.vectors.tasks == ("alpha", "beta", "gamma")
    assert len(run.classes["gamma"]) == 5


def test_all_runs_that_begin_so_are_listed(store: RunStore) -> None:
    rows = store.finished("tiny")
    runs = rows[rows["method"].isin(["weight_averaging", "task_arithmetic"])]["run_id"].unique()
    with pytest.raises(ResultsError, match=rf"{runs[0]}[\s\S]*{runs[1]}"):
        found(store, "")


def test_a_run_is_found_in_any_study_of_the_results(store: RunStore, files: ModelFiles) -> None:
    other = study_of(files, Path(store.root), study="other", ray=False, pipelines=PIPELINES[:1])
    run_sweep(other, console())
    (run,) = set(store.finished("other").query("method == 'weight_averaging'")["run_id"])
    assert found(store, run)["study"] == "other"


def test_an_unknown_run_is_an_error(store: RunStore) -> None:
    with pytest.raises(ResultsError, match="no merged model of a run that begins with 'zz'"):
        found(store, "zz")


def test_results_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no results here"):
        found(RunStore(str(tmp_path / "none"), HYPERS), "0")


def test_all_files_that_have_changed_or_gone_are_named_at_once(
    store: RunStore, files: ModelFiles
) -> None:
    changed(files.tasks[0].checkpoint)
    files.tasks[1].checkpoint.unlink()
    changed(files.tasks[2].head_file)
    changed(files.base)
    message = (
        r"base.safetensors: digest \w+, expected \w+[\s\S]*alpha.safetensors: digest"
        r"[\s\S]*beta.safetensors: cannot read[\s\S]*gamma.head.safetensors: digest"
    )
    with pytest.raises(CheckpointError, match=message):
        rebuilt(store, found(store, a_run(store)))


def test_another_towers_description_is_refused(store: RunStore, files: ModelFiles) -> None:
    files.tower.write_text(
        files.tower.read_text().replace('"quick_gelu":false', '"quick_gelu":true')
    )
    with pytest.raises(CheckpointError, match=r"tower.json: another tower"):
        rebuilt(store, found(store, a_run(store)))


def test_heads_of_a_later_sweep_on_the_same_checkpoints_are_refused(
    store: RunStore, files: ModelFiles
) -> None:
    first = a_run(store)
    changed(files.tasks[0].head_file)
    (Path(store.root) / "_studies" / "tiny.json").unlink()  # results of an older version
    study = study_of(files, Path(store.root), ray=False, pipelines=PIPELINES)
    run_sweep(study, console())
    with pytest.raises(CheckpointError, match="heads or tower are not those of the last sweep"):
        rebuilt(store, found(store, first))


def test_a_run_whose_files_are_not_recorded_asks_for_its_sweep(store: RunStore) -> None:
    for path in Path(store.root).glob("_recipes/tiny/inputs-*.json"):
        path.unlink()
    with pytest.raises(ResultsError, match="run its sweep once more to the end"):
        rebuilt(store, found(store, a_run(store)))


def test_a_run_on_rounded_task_vectors_is_rebuilt_on_them_bit_for_bit(
    files: ModelFiles, tmp_path: Path
) -> None:
    study = study_of(
        files,
        tmp_path / "rounded",
        ray=False,
        pipelines=PIPELINES,
        bank="bfloat16",
        select="accuracy",
    )
    best = run_sweep(study, console()).best
    assert best is not None
    store = RunStore(study.storage, HYPERS)
    assert rebuilt(store, found(store, best.run_id)).vectors.vectors.dtype == torch.bfloat16
    exported = export_run(best.run_id, study.storage, to=tmp_path / "model")
    assert (exported / "model.safetensors").read_bytes() == Path(best.tower).read_bytes()
