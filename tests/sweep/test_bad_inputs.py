"""Bad inputs of a study are named before any work starts; poor ones give no number but finite."""

import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from distmerge.errors import CheckpointError, ConfigError, DataError
from distmerge.methods import HYPERS
from distmerge.models import load_state, save_state
from distmerge.run import run
from distmerge.spec import ModelFiles, Value, load_study
from distmerge.sweep.prepare import prepare
from tests.coordinator.sessions import config_of, ignored, session_of
from tests.sweep.studies import content_of, study_of
from tests.world import arrays_of

FEW: dict[str, Value] = {"steps": 3, "batch_size": 1, "batches": 1}


def refuse(line: str) -> None:
    raise AssertionError(line)


def copy_of(world: ModelFiles, folder: Path) -> ModelFiles:
    """Give the same world in another folder, free to be spoilt."""
    old, new = world.base.parent, folder / "copy"
    shutil.copytree(old, new, ignore=shutil.ignore_patterns("features"))
    return ModelFiles.model_validate_json(world.model_dump_json().replace(str(old), str(new)))


@pytest.fixture
def copied(world: ModelFiles, tmp_path: Path) -> ModelFiles:
    return copy_of(world, tmp_path)


def load(folder: Path, content: Mapping[str, object]) -> None:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(dict(content)))
    load_study(path, [], HYPERS)


def spoil(path: Path, change: Callable[[Tensor], Tensor]) -> None:
    """Change the first number of a checkpoint's last LayerNorm."""
    state = load_state(path)
    state["ln_post.weight"] = change(state["ln_post.weight"].clone())
    save_state(path, state)


def first(value: float) -> Callable[[Tensor], Tensor]:
    """Give what puts ``value`` first; in float64, which holds more than float32 does."""
    return lambda tensor: torch.cat([torch.tensor([value]).double(), tensor[1:].double()])


@pytest.mark.parametrize("density", [0, -0.1, 1.0001, 20, math.nan, {"uniform": [0.5, 1.5]}])
@pytest.mark.parametrize("method", ["ties", "adamerging_pp"])
def test_a_density_that_is_no_share_is_refused(
    world: ModelFiles, tmp_path: Path, method: str, density: object
) -> None:
    pipelines = [{"stages": [method], "settings": {f"{method}.density": density}}]
    with pytest.raises(ConfigError, match=rf"{method}.density"):
        load(tmp_path, content_of(world, tmp_path, pipelines=pipelines))


@pytest.mark.parametrize("method", ["ties", "adamerging_pp"])
def test_a_number_of_text_parameters_that_no_table_holds_is_refused(
    world: ModelFiles, tmp_path: Path, method: str
) -> None:
    pipelines = [{"stages": [method], "settings": {f"{method}.text_parameters": 2**70}}]
    with pytest.raises(ConfigError, match=rf"{method}.text_parameters: .* less than 2147483648"):
        load(tmp_path, content_of(world, tmp_path, pipelines=pipelines))


def test_a_single_task_is_nothing_to_merge(world: ModelFiles, tmp_path: Path) -> None:
    content = content_of(world, tmp_path)
    content["models"]["tasks"] = content["models"]["tasks"][:1]
    with pytest.raises(ConfigError, match=r"models\.tasks: lists 1, expected 2 or more"):
        load(tmp_path, content)


def test_tasks_with_fewer_images_than_any_methods_batch_are_listed_at_once(
    world: ModelFiles, tmp_path: Path
) -> None:
    drawn = {"adamerging": 32, "adamerging_pp": 32, "tinting": 32, "bd_merging": 16}
    pipelines = [{"stages": [method]} for method in drawn]
    study = study_of(
        world,
        tmp_path,
        pipelines=[*pipelines, {"stages": ["ties", "surgery"]}],
        images={"adapt": 5},
    )
    with pytest.raises(DataError, match="batches are larger than the data") as caught:
        prepare(study, refuse)
    assert str(caught.value).splitlines()[1:] == [
        f"  - pipelines.{i}: {method} draws {size} samples per step; "
        f"task {task} has 5 adapt samples"
        for i, (method, size) in enumerate([*drawn.items(), ("surgery", 16)])
        for task in ("alpha", "beta", "gamma")
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
def test_a_number_that_is_not_finite_is_named_by_model_and_tensor(
    copied: ModelFiles, tmp_path: Path, value: float
) -> None:
    spoil(copied.base, first(value))
    spoil(copied.tasks[1].checkpoint, first(value))
    with pytest.raises(CheckpointError, match="checkpoints do not fit the tower") as caught:
        prepare(study_of(copied, tmp_path), refuse)
    assert str(caught.value).splitlines()[1:] == [
        "  - base: ln_post.weight: holds NaN or infinity",
        "  - beta: ln_post.weight: holds NaN or infinity",
    ]


def test_the_model_of_an_unseen_task_is_checked_as_well(copied: ModelFiles, tmp_path: Path) -> None:
    spoil(copied.tasks[1].checkpoint, first(math.nan))
    with pytest.raises(CheckpointError, match=r"beta: ln_post\.weight: holds NaN or infinity"):
        prepare(study_of(copied, tmp_path, unseen=["beta"]), refuse)


def test_a_head_of_other_classes_than_the_list_of_names_is_refused(
    copied: ModelFiles, tmp_path: Path
) -> None:
    names = arrays_of(copied.tasks[2]) / "classes.json"
    names.write_text(json.dumps([*json.loads(names.read_text()), "one more"]))
    with pytest.raises(CheckpointError, match=r"task gamma: .*head for 6 classes") as caught:
        prepare(study_of(copied, tmp_path), refuse)
    assert "weight: got shape (5, 8), expected (6, 8)" in str(caught.value)


STAGES = tuple(
    (method,) if hyper.role == "merge" else ("task_arithmetic", method)
    for method, hyper in HYPERS.items()
)
OPTIONS: tuple[dict[str, Value], ...] = (
    {},
    {"router": "none"},
    {"pool": "bank"},
    {"split": "radius"},
    {"sharp": "literal", "inverse": "literal"},
    {"feature_space": "merged"},
)
# Whatever the images are, a method gives numbers.
POOR: list[tuple[tuple[str, ...], dict[str, Value]]] = [(stages, {}) for stages in STAGES] + [
    (("bd_merging",), values) for values in OPTIONS[1:]
]
poor = pytest.mark.parametrize(("stages", "values"), POOR, ids=str)


def unfinished(
    files: ModelFiles, stages: tuple[str, ...], values: Mapping[str, Value]
) -> list[str]:
    """Give what is not finite in the metrics of a short run."""
    settings = {
        f"{method}.{field}": value
        for method in stages
        for field, value in {**FEW, **values}.items()
        if field in HYPERS[method].model_fields
    }
    _, record = run(session_of(files), config_of(settings, *stages), ignored)
    assert record.metrics
    return [f"{m.suite} {m.task} {m.metric}" for m in record.metrics if not math.isfinite(m.value)]


@pytest.fixture(scope="module")
def alike(world: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """A world in which all adapt images of all tasks are the same: u is constant in a batch."""
    files = copy_of(world, tmp_path_factory.mktemp("alike"))
    for task in files.tasks:
        path = arrays_of(task) / "adapt.images.npy"
        np.save(path, np.full_like(np.load(path), 90))
    return files


@poor
def test_images_that_are_all_alike_leave_every_metric_finite(
    alike: ModelFiles, stages: tuple[str, ...], values: dict[str, Value]
) -> None:
    assert unfinished(alike, stages, {"batch_size": 4, **values}) == []


@pytest.fixture(scope="module")
def single(world: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """A world with one adapt image per task: fewer images than any has neighbours."""
    files = copy_of(world, tmp_path_factory.mktemp("single"))
    for task in files.tasks:
        path = arrays_of(task) / "adapt.images.npy"
        np.save(path, np.load(path)[:1])
    return files


@poor
def test_a_single_image_per_task_leaves_every_metric_finite(
    single: ModelFiles, stages: tuple[str, ...], values: dict[str, Value]
) -> None:
    assert unfinished(single, stages, values) == []
