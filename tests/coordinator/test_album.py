"""What is pictured of a model while it is measured."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from distmerge.coordinator import Album, BlockFacts, FeatureBlock, Material, model_logits
from distmerge.coordinator import album as module
from distmerge.coordinator.album import projected
from distmerge.evaluation import calibration_error
from distmerge.methods.bd_merging.model import RoutedModel
from distmerge.methods.contract import (
    Draw,
    Facts,
    Gradient,
    IndividualModels,
    MergedModel,
    Model,
    Point,
)
from distmerge.methods.losses import BatchLoss
from distmerge.run import Session, run
from distmerge.spec import ModelFiles, RunConfig, Value
from distmerge.tasks import LabelledSamples, Role
from distmerge.tensorfiles import header_of
from tests.coordinator.sessions import config_of, ignored, learned_by, session_of

SURGERY: dict[str, Value] = {"surgery.steps": 20, "surgery.batch_size": 8, "surgery.lr": 0.01}
ROUTED: dict[str, Value] = {
    "bd_merging.head_steps": 1,
    "bd_merging.warm_up": 1,
    "bd_merging.steps": 0,
}
AVERAGE = config_of({}, "weight_averaging")


@dataclass(frozen=True)
class Changed:
    """A port to individual models whose report facts are others."""

    inner: IndividualModels
    blocks: tuple[FeatureBlock, ...]

    def facts(self, model: str, task: str, role: Role) -> Facts:
        return BlockFacts(self.blocks) if role == "report" else self.inner.facts(model, task, role)

    def gradient(self, point: Point, draw: Draw, loss: BatchLoss) -> Gradient:
        return self.inner.gradient(point, draw, loss)


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world)


def given(session: Session) -> tuple[Material, Model, IndividualModels]:
    return session.material, learned_by(session, AVERAGE).model, session.models


def pictures(session: Session, config: RunConfig) -> dict[str, Tensor]:
    _, record = run(session, config, ignored)
    assert len(record.pictures) < 200_000
    found: dict[str, Tensor] = safetensors.torch.load(record.pictures)
    return found


@pytest.fixture(scope="module")
def averaged(session: Session) -> dict[str, Tensor]:
    return pictures(session, AVERAGE)


@pytest.fixture(scope="module")
def corrected(session: Session) -> dict[str, Tensor]:
    return pictures(session, config_of(SURGERY, "task_arithmetic", "surgery"))


@pytest.fixture(scope="module")
def routed(session: Session) -> dict[str, Tensor]:
    return pictures(session, config_of(ROUTED, "bd_merging"))


def test_an_album_changes_no_number(session: Session) -> None:
    model = learned_by(session, config_of(SURGERY, "task_arithmetic", "surgery")).model
    album = Album(session.material, model, session.models)
    found = album.logits("alpha", "report")
    assert torch.equal(found, model_logits(session.material, model, "alpha", "report"))


def test_a_correction_brings_features_nearer(corrected: dict[str, Tensor]) -> None:
    before, after = corrected["distance.alpha"].tolist()
    assert after < before
    assert corrected["points.alpha"].shape == (3, 24, 2)
    assert corrected["layers.alpha"].shape == (2,)


def test_a_model_without_corrections_has_two_kinds(averaged: dict[str, Tensor]) -> None:
    assert averaged["points.alpha"].shape == (2, 24, 2)


def test_distances_are_those_of_all_layers_and_images(
    session: Session, averaged: dict[str, Tensor]
) -> None:
    model = learned_by(session, AVERAGE).model
    task = session.material.task("beta")
    images = next(task.report.samples.batches(64, session.material.config.preprocess))
    weights = model.vectors.layout.unflatten(model.vectors.vectors.mean(dim=0) + model.vectors.base)
    encoding = session.material.tower.encode(weights, images)
    own = session.models.facts("beta", "beta", "report")
    expected = (encoding.layers - own.layers).abs().mean(dim=(0, 2))
    torch.testing.assert_close(averaged["layers.beta"], expected, rtol=1e-4, atol=1e-5)


def test_a_routed_model_says_where_images_go(routed: dict[str, Tensor]) -> None:
    assert routed["routing.alpha"].shape == (24, 3)
    assert float(routed["sent.alpha"].sum()) == pytest.approx(1)
    assert routed["weights.alpha"].sum(dim=1)[0].item() == pytest.approx(1)
    assert routed["uncertainty.report"][:, 0].sum() == 3 * 24
    assert "layers.alpha" not in routed


def test_reliability_is_of_every_image_and_comes_to_the_calibration_error(
    session: Session, averaged: dict[str, Tensor]
) -> None:
    model = learned_by(session, AVERAGE).model
    confidence, right = [], []
    for task in session.material.tasks:
        logits = model_logits(session.material, model, task.name, "report")
        confidence.append(logits.double().softmax(dim=1).amax(dim=1))
        right.append(logits.argmax(dim=1) == torch.from_numpy(task.report.labels))
    count, sure, share = averaged["calibration.report"].T
    assert count.sum() == 3 * 24
    error = float((count / count.sum() * (sure - share).abs()).nansum())
    assert error == pytest.approx(calibration_error(torch.cat(confidence), torch.cat(right)))


def test_pictures_name_their_tasks(session: Session) -> None:
    texts = header_of(Album(*given(session)).pictures(()))[0]["__metadata__"]
    assert json.loads(texts["tasks"]) == ["alpha", "beta", "gamma"]
    assert json.loads(texts["unseen"]) == json.loads(texts["problems"]) == []


def test_layers_are_left_out_where_they_need_much_memory(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", 0)
    album = Album(*given(session))
    album.logits("alpha", "report")
    found = safetensors.torch.load(album.pictures(()))
    assert "points.alpha" in found
    assert "layers.alpha" not in found


@pytest.mark.parametrize("size", [5, 24])
def test_individual_features_may_lie_in_blocks(
    size: int, session: Session, averaged: dict[str, Tensor]
) -> None:
    own = session.models.facts("alpha", "alpha", "report")
    whole = FeatureBlock(*(getattr(own, name).numpy() for name in FeatureBlock._fields))
    starts = range(0, 24, size)
    blocks = tuple(FeatureBlock(*(part[i : i + size] for part in whole)) for i in starts)
    model = learned_by(session, AVERAGE).model
    album = Album(session.material, model, Changed(session.models, blocks))
    album.logits("alpha", "report")
    found = safetensors.torch.load(album.pictures(()))
    for name in ("distance.alpha", "points.alpha", "layers.alpha"):
        assert torch.equal(found[name], averaged[name])


@pytest.mark.parametrize(
    "config", [AVERAGE, config_of(ROUTED, "bd_merging")], ids=["merged", "routed"]
)
def test_one_image_of_one_class_has_pictures(config: RunConfig, session: Session) -> None:
    own = session.models.facts("alpha", "alpha", "report")
    one = FeatureBlock(*(getattr(own, name).numpy()[:1] for name in FeatureBlock._fields))
    images = session.material.tasks[0].report.samples
    first = replace(images, array=images.array[:1])
    report = LabelledSamples(first, np.zeros(1, dtype=np.int64))
    tasks = tuple(replace(task, report=report) for task in session.material.tasks)
    heads = {
        name: replace(head, weight=head.weight[:1], bias=head.bias[:1])
        for name, head in session.material.heads.items()
    }
    model = learned_by(session, config).model
    assert isinstance(model, MergedModel | RoutedModel)
    material = replace(session.material, tasks=tasks, heads=heads)
    album = Album(material, replace(model, heads=heads), Changed(session.models, (one,)))
    for task in heads:
        (album.answers if isinstance(model, RoutedModel) else album.logits)(task, "report")
    found = safetensors.torch.load(album.pictures(()))
    assert found["calibration.report"][-1].tolist() == [3, 1, 1]
    assert found["points.alpha"].shape == (2, 1, 2)
    assert bool(found["points.alpha"].isfinite().all())


def test_individual_features_that_are_not_finite_lose_no_run(session: Session) -> None:
    own = session.models.facts("alpha", "alpha", "report")
    whole = FeatureBlock(*(getattr(own, name).numpy().copy() for name in FeatureBlock._fields))
    whole.features[3] = torch.nan
    _, record = run(replace(session, models=Changed(session.models, (whole,))), AVERAGE, ignored)
    found = safetensors.torch.load(record.pictures)
    assert bool(found["points.alpha"].isnan().all())
    assert record.status == "ok"


def test_the_plane_of_features_has_one_sign() -> None:
    generator = torch.Generator().manual_seed(0)
    kinds = [torch.randn(12, 5, generator=generator) for _ in range(3)]
    assert torch.equal(projected(kinds), projected(kinds))
    plain = torch.tensor([[3.0, 0.1], [0.1, 3.0], [3.0, 0.2]])
    points = projected([plain, plain.flip(0)])
    assert points.shape == (2, 3, 2)
    torch.testing.assert_close(points[0], points[1].flip(0))


@pytest.mark.parametrize("shape", [(1, 4), (1, 1), (3, 1)])
def test_one_image_or_one_number_of_each_is_drawn_too(shape: tuple[int, int]) -> None:
    found = projected([torch.ones(shape), torch.rand(shape)])
    assert found.shape == (2, shape[0], 2)
    assert bool(found.isfinite().all())


def test_a_feature_without_length_is_drawn_too() -> None:
    assert bool(projected([torch.zeros(2, 3), torch.eye(3)[:2]]).isfinite().all())
