"""Studies of towers that are no plain vision transformers: a ResNet, and one of averaged tokens."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor

import distmerge
from distmerge.errors import CheckpointError, ConfigError
from distmerge.methods import HYPERS
from distmerge.methods.contract import Draw, Point
from distmerge.methods.losses import Teacher, mean_entropy
from distmerge.results import RunStore
from distmerge.spec import ModelFiles, load_tower_config
from distmerge.sweep import export_run, run_sweep
from distmerge.sweep.plan.plan import plan_lines
from distmerge.tasks import batch_indices
from tests.coordinator.sessions import session_of
from tests.sweep.studies import console, rows_of, study_of
from tests.towers import TOWERS, build_tower_world

METHODS: list[dict[str, Any]] = [
    {"stages": ["weight_averaging"]},
    {"stages": ["task_arithmetic"]},
    {"stages": ["ties"]},
    {
        "stages": ["adamerging"],
        "trials": 3,
        "settings": {
            "adamerging.steps": 2,
            "adamerging.batch_size": 8,
            "adamerging.lr": 0.01,
            "adamerging.init": 0.3,
            "adamerging.grouping": {"choice": ["per_tensor", "per_block", "global"]},
        },
    },
    {
        "stages": ["task_arithmetic", "surgery"],
        "settings": {"surgery.steps": 3, "surgery.rank": 2},
    },
    {"stages": ["tinting"], "settings": {"tinting.steps": 2, "tinting.batch_size": 8}},
]
IN_RAY = METHODS[3:4]


@pytest.fixture(scope="module", params=TOWERS)
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    return build_tower_world(tmp_path_factory.mktemp("towers") / "world", TOWERS[request.param])


@pytest.fixture(scope="module")
def storage(files: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of every method that such a tower allows, run in this process."""
    folder = tmp_path_factory.mktemp("swept") / "results"
    run_sweep(study_of(files, folder, ray=False, pipelines=METHODS), console())
    return folder


@pytest.fixture(scope="module")
def folder(storage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("exported") / "model"
    return export_run(run_of(storage, "task_arithmetic+surgery"), str(storage), to=place)


def run_of(storage: Path, method: str) -> str:
    rows = RunStore(str(storage), HYPERS).finished("tiny")
    return str(rows[rows["method"] == method]["run_id"].iloc[0])


def test_every_method_gives_finite_numbers(storage: Path) -> None:
    rows = RunStore(str(storage), HYPERS).finished("tiny")
    assert np.isfinite(rows["value"]).all()
    runs = rows.groupby("method")["run_id"].nunique()
    assert [runs["+".join(each["stages"])] for each in METHODS] == [1, 1, 1, 3, 1, 1]
    accuracy = rows[rows["metric"] == "accuracy"].groupby("method")["value"].mean()
    assert accuracy["individual"] > accuracy["pretrained"]


@pytest.mark.ray
@pytest.mark.slow
def test_ray_gives_the_same_rows(
    files: ModelFiles, storage: Path, ray_local: None, tmp_path: Path
) -> None:
    study = study_of(files, tmp_path / "results", pipelines=IN_RAY)
    run_sweep(study, console())
    found = rows_of(study)
    alone = rows_of(study_of(files, storage, pipelines=METHODS))
    expected = alone[alone["run_id"].isin(found["run_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected)


def test_gradients_are_those_of_finite_differences_and_zero_for_statistics(
    files: ModelFiles,
) -> None:
    session = session_of(files)
    vectors, material = session.vectors, session.material
    names = [segment.name for segment in vectors.layout.segments]
    moving = torch.tensor(["running_" not in name for name in names])
    draw = Draw(0, 0, 8, 1)
    start = torch.full((3, len(names)), 0.3, dtype=torch.float64)
    point = Point(vectors, start, {})
    gradient = session.models.gradient(point, draw, mean_entropy).coefficients
    assert torch.count_nonzero(gradient[:, ~moving]) == 0
    assert torch.count_nonzero(gradient[:, moving]) > 0

    def loss(coefficients: Tensor) -> float:
        """Give the same loss in double precision, segment by segment."""
        weights = vectors.layout.unflatten(vectors.base.double())
        for row, vector in zip(coefficients, vectors.vectors, strict=True):
            for i, (name, part) in enumerate(vectors.layout.unflatten(vector.double()).items()):
                weights[name] = weights[name] + row[i] * part
        total = 0.0
        for task in material.tasks:
            indices = batch_indices(0, task.name, 0, size=8, available=len(task.adapt))
            images = task.adapt.batch(indices, material.config.preprocess).double()
            features = material.tower.features(weights, images).float()
            teacher = Teacher(torch.zeros(8, dtype=torch.long), torch.zeros(8))
            total += float(mean_entropy(material.heads[task.name](features), teacher))
        return total

    step = torch.zeros_like(start)
    step[:, moving] = 1e-4 * gradient[:, moving].sign().double()
    difference = (loss(start + step) - loss(start - step)) / 2
    assert difference == pytest.approx(float((gradient * step).sum()), rel=1e-2)


def test_routing_of_tokens_and_layers_that_are_not_there_are_refused(
    files: ModelFiles, tmp_path: Path
) -> None:
    choice = {"choice": ["head", "mlp.c_fc"]}
    pipelines = [
        {"stages": ["bd_merging"]},
        {"stages": ["tinting"], "settings": {"tinting.layer": "attn.in_proj"}},
        {"stages": ["tinting", "surgery"], "settings": {"tinting.layer": choice}},
    ]
    study = study_of(files, tmp_path, ray=False, pipelines=pipelines)
    with pytest.raises(ConfigError, match=r"bd_merging: got .*; expected a Vision") as caught:
        run_sweep(study, console())
    missing = [
        f"pipelines.{i}: tinting.layer: a RN-tiny has no layer {layer}; set tinting.layer: head"
        in str(caught.value)
        for i, layer in ((1, "attn.in_proj"), (2, "mlp.c_fc"))
    ]
    is_resnet = load_tower_config(files.tower) == TOWERS["resnet"]
    assert missing == [is_resnet] * 2


def test_the_plan_shows_the_tower_and_what_it_cannot_estimate(
    files: ModelFiles, tmp_path: Path
) -> None:
    study = study_of(files, tmp_path, ray=False, pipelines=METHODS)
    text = "\n".join(plan_lines(study))
    assert "-tiny" in text
    assert "of open_clip, features of 8" in text
    assert "samples, which are not known for such a tower" in text
    assert "layers x" not in text


def test_the_exported_model_reads_pictures(folder: Path) -> None:
    model = distmerge.load(folder)
    picture = Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    )
    answers = model.predict([picture], task="beta")
    assert answers[0].label in model.classes["beta"]
    assert model.features([picture]).shape == (1, 8)


def test_the_cards_example_gives_the_features_in_plain_open_clip(folder: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "photo.png")
    code = (folder / "README.md").read_text().split("```python\n")[2].split("```")[0]
    for name in ("model.safetensors", "photo.png"):
        code = code.replace(f'"{name}"', repr(str(folder / name)))
    assert "distmerge" not in code.replace(str(folder), "")
    names: dict[str, Any] = {}
    exec(code, names)
    model = distmerge.load(folder)
    expected = model.features([folder / "photo.png"])
    torch.testing.assert_close(names["features"], expected, rtol=0, atol=1e-6)


def test_transformers_has_no_such_tower(storage: Path, tmp_path: Path) -> None:
    run = run_of(storage, "ties")
    with pytest.raises(CheckpointError, match=r"of open_clip, .*--format open_clip"):
        export_run(run, str(storage), to=tmp_path / "model", hugging_face=True)
    assert not list(tmp_path.iterdir())
