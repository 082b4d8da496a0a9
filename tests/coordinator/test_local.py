from pathlib import Path

import pytest
import torch

from distmerge.coordinator import FeatureStore, LocalModels, local_features
from distmerge.methods.contract import PRETRAINED, Draw, Point
from distmerge.methods.losses import mean_entropy
from distmerge.models import load_state
from distmerge.run import Session
from distmerge.spec import ModelFiles
from tests.coordinator.sessions import ignored, session_of, source_of
from tests.methods.bd import batch_of


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world)


def computed(session: Session, world: ModelFiles, folder: Path) -> list[str]:
    """Give what is computed, and reported, when the store lies in ``folder``."""
    reports: list[str] = []
    store, keys = FeatureStore(folder), session.digests.keys
    source, material = source_of(world), session.material
    local_features(source, material, keys, store, block=16, report=reports.append)
    return reports


def test_what_the_store_lacks_is_computed_and_reported_once(
    session: Session, world: ModelFiles, tmp_path: Path
) -> None:
    first = computed(session, world, tmp_path)
    assert len(first) == len(session.digests.keys) == 18
    assert first[0] == "features 1/18: alpha on adapt samples of alpha"
    assert computed(session, world, tmp_path) == []


def test_only_what_is_missing_is_computed(
    session: Session, world: ModelFiles, tmp_path: Path
) -> None:
    computed(session, world, tmp_path)
    key = session.digests.keys[9]
    FeatureStore(tmp_path).path(key).unlink()
    expected = f"features 1/1: {key.model} on {key.role} samples of {key.task}"
    assert computed(session, world, tmp_path) == [expected]


def test_a_full_store_needs_no_checkpoint(
    session: Session, world: ModelFiles, tmp_path: Path
) -> None:
    computed(session, world, tmp_path)
    nowhere = tuple(
        task.model_copy(update={"checkpoint": tmp_path / "gone"}) for task in world.tasks
    )
    source = source_of(world.model_copy(update={"tasks": nowhere}))
    store = FeatureStore(tmp_path)
    keys = session.digests.keys
    bank = local_features(source, session.material, keys, store, block=16, report=ignored)
    assert bank.keys() == set(keys)


def test_stored_facts_equal_those_that_another_process_would_compute(
    session: Session, world: ModelFiles, tmp_path: Path
) -> None:
    store, keys = FeatureStore(tmp_path), session.digests.keys
    source, material = source_of(world), session.material
    again = local_features(source, material, keys, store, block=16, report=ignored)
    assert isinstance(session.models, LocalModels)
    for key in keys:
        assert torch.equal(session.models.bank[key].logits, again[key].logits)
        assert torch.equal(session.models.bank[key].layers, again[key].layers)


@pytest.mark.parametrize("model", ["beta", PRETRAINED])
def test_facts_are_found_by_model_task_and_role(session: Session, model: str) -> None:
    assert isinstance(session.models, LocalModels)
    (key,) = (k for k in session.digests.keys if k[:3] == (model, "beta", "select"))
    found = session.models.facts(model, "beta", "select")
    assert torch.equal(found.features, session.models.bank[key].features)
    assert found.features.shape == (16, 8)
    assert found.logits.shape == (16, 4)


def test_crossed_facts_are_a_models_features_under_the_head_of_the_images_task(
    world: ModelFiles,
) -> None:
    session = session_of(world, "report")
    images = batch_of(session, "beta", 24)
    weights = load_state(world.tasks[0].checkpoint)
    with torch.inference_mode():
        features = session.material.tower.features(weights, images)
        logits = session.material.heads["beta"](features)
    facts = session.models.facts("alpha", "beta", "report")
    torch.testing.assert_close(facts.features, features, rtol=0, atol=1e-5)
    torch.testing.assert_close(facts.logits, logits, rtol=0, atol=1e-4)


def test_the_same_draw_has_the_same_gradient(session: Session) -> None:
    coefficients = torch.full((3, 32), 0.3, dtype=torch.float64)
    draw = Draw(seed=0, step=1, batch_size=8, batches=2)
    point = Point(session.vectors, coefficients)
    one, other = (session.models.gradient(point, draw, mean_entropy) for _ in range(2))
    assert one.loss == other.loss
    assert torch.equal(one.coefficients, other.coefficients)
