"""Model Tinting against a slow oracle, and where few or no images are kept."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy

from distmerge.coordinator import BlockFacts, FeatureBlock, LocalModels, optimise
from distmerge.methods.contract import Draw, MergedModel, Plan, Point, Scope
from distmerge.methods.losses import Teacher
from distmerge.methods.tinting import Tinting
from distmerge.methods.tinting.stage import build, confident_cross_pseudo, kept
from distmerge.run import Session
from distmerge.spec import ModelFiles
from distmerge.tasks import batch_indices
from tests.coordinator.sessions import config_of, ignored, merged_by, session_of
from tests.oracles import tinting as oracle


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world)


def base_of(session: Session) -> MergedModel:
    material = session.material
    return MergedModel.pretrained(material.tower, session.vectors, material.heads)


def plan(session: Session, hyper: Tinting) -> Plan:
    adapt = {task.name: task.adapt for task in session.material.tasks}
    scope = Scope(session.models, adapt, lambda *_: torch.zeros(1, 1), lambda *_: 0.0, 0)
    return build(hyper, base_of(session), scope)


def answers(model: MergedModel, session: Session, task: str) -> Tensor:
    images = session.material.task(task).adapt
    every = images.batch(np.arange(len(images)), session.material.config.preprocess)
    return model.logits(every, task).clone()


def answered(session: Session, logits: Mapping[str, Tensor]) -> Session:
    """Give a session in which individual models say ``logits`` of adapt images, and doubt them."""
    assert isinstance(session.models, LocalModels)
    bank = dict(session.models.bank)
    for key, facts in session.models.bank.items():
        if key.role == "adapt" and key.model == key.task and key.task in logits:
            said = logits[key.task].numpy()
            doubts = np.zeros(len(said), np.float32)
            block = FeatureBlock(facts.layers.numpy(), facts.features.numpy(), said, doubts)
            bank[key] = BlockFacts([block])
    return replace(session, models=replace(session.models, bank=bank))


def contradicted(session: Session, *tasks: str) -> Session:
    """Give a session in which no image of ``tasks`` is kept when it starts."""
    arithmetic = merged_by(session, config_of({}, "task_arithmetic")).model
    return answered(session, {task: -answers(arithmetic, session, task) for task in tasks})


def with_one_task(session: Session) -> Session:
    material = replace(session.material, tasks=session.material.tasks[:1])
    vectors = replace(session.vectors, tasks=("alpha",), vectors=session.vectors.vectors[:1])
    assert isinstance(session.models, LocalModels)
    models = replace(session.models, material=material)
    return replace(session, material=material, vectors=vectors, models=models)


@given(st.integers(0, 10_000), st.integers(2, 6))
def test_selection_loss_and_gradient_are_those_of_the_oracle(seed: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    merged, individual = 2 * random.standard_normal((2, 7, classes))
    expected = oracle.tinted(merged, individual)
    confidence, labels = torch.from_numpy(individual).softmax(dim=1).max(dim=1)
    teacher, ours = Teacher(labels, confidence), torch.tensor(merged, requires_grad=True)
    loss = confident_cross_pseudo(ours, teacher)
    assert kept(ours, teacher).tolist() == expected.kept
    assert loss.item() == pytest.approx(expected.loss, abs=1e-12)
    if any(expected.kept):
        loss.backward()
        torch.testing.assert_close(ours.grad, torch.from_numpy(expected.gradient))


def test_an_individual_model_that_is_just_as_confident_is_believed() -> None:
    logits = torch.tensor([[0.0, 1, 0], [0, 1, 0]])
    confidence = logits.softmax(dim=1).amax(dim=1)
    teacher = Teacher(torch.tensor([0, 0]), confidence - torch.tensor([0, 1e-3]))
    assert kept(logits, teacher).tolist() == [True, False]


def test_the_golden_merged_answers() -> None:
    """algorithms.md 3.7: y_M and c_M."""
    logits = torch.tensor([[1.0, 0, 0], [0, 3, 0], [0, 0.2, 0]])
    confidence, labels = logits.softmax(dim=1).max(dim=1)
    assert labels.tolist() == [0, 1, 1]
    assert confidence.tolist() == pytest.approx([0.576117, 0.909443, 0.379152], abs=1e-6)


def test_heads_on_a_fixed_merge_are_trained_as_by_the_oracle(session: Session) -> None:
    hyper = Tinting(coefficient_lr=0, steps=8, batch_size=8)
    planned = plan(session, hyper)
    head, start = session.material.heads["gamma"], planned.result()
    images = session.material.task("gamma").adapt
    every = images.batch(np.arange(40), session.material.config.preprocess)
    features = start.tower_features(every, "gamma").double().numpy() - head.center.double().numpy()
    optimise(planned.problems[0], ignored)
    expected = oracle.trained_head(
        head.weight.double().numpy(),
        head.bias.double().numpy(),
        features / np.linalg.norm(features, axis=1, keepdims=True),
        session.models.facts("gamma", "gamma", "adapt").logits.double().numpy(),
        [batch_indices(0, "gamma", step, size=8, available=40) for step in range(8)],
    )
    own = planned.result().own["gamma"]
    # float32 against float64 over 8 steps of 1e-2
    np.testing.assert_allclose(own["head.weight"].numpy(), expected[0], rtol=0, atol=2e-5)
    np.testing.assert_allclose(own["head.bias"].numpy(), expected[1], rtol=0, atol=2e-5)


def test_a_single_task_that_is_its_own_model_keeps_every_image(session: Session) -> None:
    alone = with_one_task(session)
    start = plan(alone, Tinting(init=1.0)).result()
    own = alone.models.facts("alpha", "alpha", "adapt").logits
    logits = answers(start, alone, "alpha")
    torch.testing.assert_close(logits, own, rtol=0, atol=1e-4)
    assert kept(own, Teacher(own.argmax(dim=1), own.softmax(dim=1).amax(dim=1))).all()
    point = Point(alone.vectors, start.coefficients, start.own)
    found = alone.models.gradient(point, Draw(0, 0, 40, 1), confident_cross_pseudo)
    assert found.loss == pytest.approx(cross_entropy(own, own.argmax(dim=1)).item(), abs=1e-5)


def test_a_task_of_which_nothing_is_kept_leaves_its_head_and_not_the_others(
    session: Session,
) -> None:
    planned = plan(contradicted(session, "beta"), Tinting(steps=1, batch_size=8))
    (problem,) = planned.problems
    before = {task: own["head.weight"].clone() for task, own in planned.result().own.items()}
    optimise(problem, ignored)
    after = {task: own["head.weight"] for task, own in planned.result().own.items()}
    moved = {task: not torch.equal(after[task], before[task]) for task in before}
    assert moved == {"alpha": True, "beta": False, "gamma": True}
    assert all(parameter.isfinite().all() for parameter in problem.parameters)


@pytest.mark.parametrize("schedule", ["joint", "sequential"])
@pytest.mark.parametrize("layer", ["head", "mlp.c_proj"])
def test_without_any_kept_image_nothing_moves(session: Session, schedule: str, layer: str) -> None:
    hyper = Tinting.model_validate(
        {"steps": 2, "batch_size": 8, "schedule": schedule, "layer": layer}
    )
    planned = plan(contradicted(session, "alpha", "beta", "gamma"), hyper)
    (problem,) = planned.problems
    before = [parameter.clone() for parameter in problem.parameters]
    optimise(problem, ignored)
    assert all(torch.equal(a, b) for a, b in zip(before, problem.parameters, strict=True))
