from pathlib import Path

import pytest
import torch

from distmerge.errors import CheckpointError, ConfigError, DataError
from distmerge.models import load_state, save_state
from distmerge.spec import ModelFiles
from distmerge.sweep.prepare import limit_threads, prepare, study_source
from tests.sweep.studies import NUM_RUNS, study_of


def refuse(line: str) -> None:
    raise AssertionError(line)


def test_inputs_are_loaded_and_nothing_is_written(world: ModelFiles, tmp_path: Path) -> None:
    prepared = prepare(study_of(world, tmp_path / "results"), refuse)
    assert prepared.vectors.tasks == ("alpha", "beta", "gamma")
    assert prepared.search.remaining == NUM_RUNS
    assert not (tmp_path / "results").exists()


def test_a_checkpoint_of_another_activation_is_refused(world: ModelFiles, tmp_path: Path) -> None:
    path = tmp_path / "base.safetensors"
    save_state(path, load_state(world.base), {"activation": "quick_gelu"})
    files = world.model_copy(update={"base": path})
    with pytest.raises(CheckpointError, match="pretrained: activation: made with quick_gelu"):
        prepare(study_of(files, tmp_path), refuse)


def test_a_home_folder_is_found(
    world: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(world.base.parent))
    files = world.model_copy(update={"base": Path("~") / world.base.name})
    assert study_source(study_of(world, tmp_path), files).files == world


def test_batches_larger_than_the_data_are_listed_for_every_pipeline_and_task(
    world: ModelFiles, tmp_path: Path
) -> None:
    pipelines = [
        {"stages": ["adamerging"], "settings": {"adamerging.batch_size": 40}},
        {"stages": ["weight_averaging", "surgery"], "settings": {"surgery.batch_size": 41}},
    ]
    with pytest.raises(DataError, match="batches are larger than the data") as caught:
        prepare(study_of(world, tmp_path, pipelines=pipelines), refuse)
    message = str(caught.value)
    assert "pipelines.0: adamerging draws 80 samples per step; task alpha has 40" in message
    assert "pipelines.1: surgery draws 41 samples per step; task gamma has 40" in message


def test_a_transductive_study_adapts_on_its_report_images(
    world: ModelFiles, tmp_path: Path
) -> None:
    prepared = prepare(study_of(world, tmp_path, protocol="transductive"), refuse)
    for task in prepared.material.tasks:
        assert task.adapt is task.report.samples


def test_threads_follow_the_cores_asked_for() -> None:
    before = torch.get_num_threads()
    try:
        limit_threads(0.5)
        assert torch.get_num_threads() == 1
        limit_threads(2.0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_unseen_tasks_give_neither_weights_nor_images(world: ModelFiles, tmp_path: Path) -> None:
    prepared = prepare(study_of(world, tmp_path, unseen=["beta"]), refuse)
    assert prepared.vectors.tasks == ("alpha", "gamma")
    assert [task.name for task in prepared.material.tasks] == ["alpha", "gamma"]
    assert [task.name for task in prepared.material.unseen] == ["beta"]
    roles = {key.role for key in prepared.digests.keys if key.task == "beta"}
    assert roles == {"report"}


@pytest.mark.parametrize(
    ("stages", "roles"),
    [(["bd_merging"], {"report"}), (["weight_averaging"], set())],
    ids=["bd_merging", "weight_averaging"],
)
def test_models_look_at_other_merged_tasks_images_where_a_method_asks_for_it(
    stages: list[str], roles: set[str], world: ModelFiles, tmp_path: Path
) -> None:
    study = study_of(world, tmp_path, unseen=["beta"], pipelines=[{"stages": stages}])
    keys = prepare(study, refuse).digests.keys
    pairs = (("alpha", "gamma"), ("gamma", "alpha"))
    assert {key[:3] for key in keys if key.crossed} == {
        (model, task, role) for model, task in pairs for role in roles
    }


@pytest.mark.parametrize(
    ("unseen", "problem"),
    [
        (["omega"], "no such task: omega; tasks: alpha, beta"),
        (["alpha", "beta"], "1 tasks are left"),
    ],
)
def test_unseen_tasks_that_do_not_work_out_are_refused(
    unseen: list[str], problem: str, world: ModelFiles, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=problem):
        prepare(study_of(world, tmp_path, unseen=unseen), refuse)


def test_a_correction_cannot_follow_a_router(world: ModelFiles, tmp_path: Path) -> None:
    stages = ["bd_merging", "surgery"]
    with pytest.raises(ConfigError, match=r"pipelines.0: surgery cannot follow bd_merging"):
        prepare(study_of(world, tmp_path, pipelines=[{"stages": stages}]), refuse)
    static = {"stages": stages, "settings": {"bd_merging.router": "none"}}
    assert prepare(study_of(world, tmp_path, pipelines=[static]), refuse).search.remaining == 1
