from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from distmerge.coordinator import BlockFacts, FeatureBlock, Progress, optimise
from distmerge.coordinator.stages import model_features
from distmerge.methods.contract import Draw, Facts, Gradient, MergedModel, Plan, Point, Scope
from distmerge.methods.losses import BatchLoss
from distmerge.methods.surgery import Surgery
from distmerge.methods.surgery.stage import (
    LowRankCorrection,
    build,
    initial_correction,
    representation_bias,
)
from distmerge.models import load_state
from distmerge.run import Session
from distmerge.spec import ModelFiles
from distmerge.tasks import Role, batch_indices
from tests.coordinator.sessions import config_of, ignored, learned_by, merged_by, session_of
from tests.oracles import surgery

TASKS = ("alpha", "beta", "gamma")


@dataclass(frozen=True)
class KnownFeatures:
    """The port where the individual features are given."""

    individual: dict[str, Tensor]

    def facts(self, model: str, task: str, role: Role) -> Facts:
        features = self.individual[task].numpy()
        rest = np.zeros((len(features), 1), dtype=np.float32)
        return BlockFacts((FeatureBlock(rest[:, None], features, rest, rest[:, 0]),))

    def gradient(self, point: Point, draw: Draw, loss: BatchLoss) -> Gradient:
        raise NotImplementedError


def random_features(seed: int, images: int = 24) -> Tensor:
    return torch.randn(images, 8, generator=torch.Generator().manual_seed(seed))


def plan_on(
    session: Session, merged: dict[str, Tensor], individual: dict[str, Tensor], **values: int
) -> Plan:
    """Plan the surgery of given merged features towards given individual ones."""
    scope = Scope(
        models=KnownFeatures(individual),
        adapt={},
        features=lambda model, task: merged[task],
        agreement=lambda model, images: 0.0,
        seed=0,
    )
    material = session.material
    model = MergedModel.pretrained(material.tower, session.vectors, material.heads)
    return build(Surgery(**{"rank": 4, "batch_size": 8, "steps": 20, **values}), model, scope)


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world)


@pytest.fixture
def merged() -> dict[str, Tensor]:
    return {task: random_features(i) for i, task in enumerate(TASKS)}


@pytest.fixture
def individual() -> dict[str, Tensor]:
    return {task: random_features(10 + i) for i, task in enumerate(TASKS)}


@pytest.mark.parametrize(
    ("up", "loss", "by_up", "by_down"),
    [
        ([[0.0], [0.0]], 0.5, [[-0.5], [0.5]], [[0.0, 0.0]]),
        ([[1e-3], [-1e-3]], 0.499, [[-0.5], [0.5]], [[-0.001, -0.002]]),
    ],
    ids=["identity", "one small step"],
)
def test_the_golden_example_gives_its_loss_and_gradients(
    up: list[list[float]], loss: float, by_up: list[list[float]], by_down: list[list[float]]
) -> None:
    """algorithms.md 3.5."""
    features = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    target = torch.tensor([[0.5, 2.5]], dtype=torch.float64)
    correction = LowRankCorrection(
        torch.tensor([[0.5, 0.25]], dtype=torch.float64, requires_grad=True),
        torch.tensor(up, dtype=torch.float64, requires_grad=True),
    )
    bias = representation_bias(correction(features), target)
    bias.backward()
    assert bias.item() == pytest.approx(loss, abs=1e-12)
    assert correction.up.grad is not None
    assert correction.down.grad is not None
    np.testing.assert_allclose(correction.up.grad.numpy(), by_up, rtol=0, atol=1e-12)
    np.testing.assert_allclose(correction.down.grad.numpy(), by_down, rtol=0, atol=1e-12)


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_loss_and_gradients_equal_the_oracle(seed: int, rank: int) -> None:
    random = np.random.default_rng(seed)
    down, up = random.standard_normal((rank, 5)), random.standard_normal((5, rank))
    features, target = random.standard_normal((2, 7, 5))
    expected = surgery.bias(down, up, features, target)
    ours = LowRankCorrection(
        torch.tensor(down, requires_grad=True), torch.tensor(up, requires_grad=True)
    )
    bias = representation_bias(ours(torch.tensor(features)), torch.tensor(target))
    bias.backward()
    assert bias.item() == pytest.approx(expected.loss, abs=1e-12)
    torch.testing.assert_close(ours.down.grad, torch.tensor(expected.down), rtol=0, atol=1e-12)
    torch.testing.assert_close(ours.up.grad, torch.tensor(expected.up), rtol=0, atol=1e-12)


def test_training_follows_the_oracle(
    session: Session, merged: dict[str, Tensor], individual: dict[str, Tensor]
) -> None:
    plan = plan_on(session, merged, individual)
    down = plan.problems[1].parameters[0].detach().double().numpy().copy()
    optimise(plan.problems[1], ignored)
    found = plan.result().corrections["beta"].state()
    batches = [batch_indices(0, "beta", step, size=8, available=24) for step in range(20)]
    features, target = merged["beta"].double().numpy(), individual["beta"].double().numpy()
    expected = surgery.trained(down, features, target, batches, lr=1e-3)
    # float32 against float64 over 20 steps of 1e-3
    np.testing.assert_allclose(found["down"].numpy(), expected[0], rtol=0, atol=2e-6)
    np.testing.assert_allclose(found["up"].numpy(), expected[1], rtol=0, atol=2e-6)


def test_a_correction_starts_as_the_identity_bit_for_bit() -> None:
    features = 100 * random_features(0)
    assert torch.equal(initial_correction(16, 8, 0, "alpha")(features), features)


def test_the_first_step_moves_up_alone(
    session: Session, merged: dict[str, Tensor], individual: dict[str, Tensor]
) -> None:
    problem = plan_on(session, merged, individual).problems[0]
    problem.backward(0)
    down, up = problem.parameters
    assert down.grad is not None
    assert up.grad is not None
    assert not down.grad.any()
    assert up.grad.any()


def test_the_initial_down_is_uniform_within_its_bound() -> None:
    down = initial_correction(64, 25, 0, "alpha").down
    assert down.abs().max() <= 0.2
    assert down.abs().max() > 0.19
    assert down.std().item() == pytest.approx(0.2 / 3**0.5, rel=0.05)


@pytest.mark.parametrize("address", [(1, "alpha"), (0, "beta")])
def test_the_initial_down_is_addressed_by_seed_and_task(address: tuple[int, str]) -> None:
    same = [initial_correction(4, 8, 0, "alpha").down for _ in range(2)]
    assert torch.equal(*same)
    assert not torch.equal(same[0], initial_correction(4, 8, *address).down)


def test_the_surgery_of_one_task_leaves_the_others_untouched(
    session: Session, merged: dict[str, Tensor], individual: dict[str, Tensor]
) -> None:
    plan = plan_on(session, merged, individual)
    before = {task: c.state() for task, c in plan.result().corrections.items()}
    before = {task: {k: v.clone() for k, v in state.items()} for task, state in before.items()}
    optimise(plan.problems[0], ignored)
    after = {task: correction.state() for task, correction in plan.result().corrections.items()}
    same = {task: torch.equal(after[task]["up"], before[task]["up"]) for task in TASKS}
    assert same == {"alpha": False, "beta": True, "gamma": True}


def test_the_order_in_which_tasks_are_trained_does_not_matter(
    session: Session, merged: dict[str, Tensor], individual: dict[str, Tensor]
) -> None:
    forward, backward = (plan_on(session, merged, individual) for _ in range(2))
    for problem in forward.problems:
        optimise(problem, ignored)
    for problem in reversed(backward.problems):
        optimise(problem, ignored)
    for task in TASKS:
        one, other = (plan.result().corrections[task].state() for plan in (forward, backward))
        assert torch.equal(one["down"], other["down"])
        assert torch.equal(one["up"], other["up"])


def test_features_that_are_right_already_stay_as_they_are(
    session: Session, merged: dict[str, Tensor]
) -> None:
    plan = plan_on(session, merged, merged)
    trace: list[Progress] = []
    optimise(plan.problems[0], trace.append)
    assert {progress.loss for progress in trace} == {0.0}
    assert not plan.result().corrections["alpha"].state()["up"].any()


def test_the_bias_falls_and_the_tower_stays(session: Session) -> None:
    trace: list[Progress] = []
    settings = {"surgery.steps": 100, "surgery.batch_size": 8}
    config = config_of(settings, "task_arithmetic", "surgery")
    corrected = merged_by(session, config, observe=trace.append).model
    plain = merged_by(session, config_of({}, "task_arithmetic")).model
    assert torch.equal(corrected.weights, plain.weights)
    for task in TASKS:
        losses = [progress.loss for progress in trace if progress.problem == f"surgery of {task}"]
        assert len(losses) == 100
        assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])


def test_cached_features_train_the_same_correction_as_recomputed_ones(
    session: Session, world: ModelFiles
) -> None:
    settings = {"surgery.steps": 20, "surgery.batch_size": 8, "surgery.rank": 4}
    model = merged_by(session, config_of(settings, "task_arithmetic", "surgery")).model
    material, merged, individual = session.material, {}, {}
    for task, files in zip(material.tasks, world.tasks, strict=True):
        images = task.adapt.batch(np.arange(len(task.adapt)), material.config.preprocess)
        own = material.tower.features(load_state(files.checkpoint), images)
        cached = session.models.facts(task.name, task.name, "adapt").features
        torch.testing.assert_close(cached, own, rtol=0, atol=1e-5)
        merged[task.name], individual[task.name] = model.tower_features(images, task.name), own
    plan = plan_on(session, merged, individual)
    for problem in plan.problems:
        optimise(problem, ignored)
    for task_name, correction in plan.result().corrections.items():
        found = model.corrections[task_name].state()
        torch.testing.assert_close(found, correction.state(), rtol=0, atol=1e-5)


def test_the_correction_of_a_model_is_that_of_its_task(session: Session) -> None:
    config = config_of({"surgery.steps": 20}, "task_arithmetic", "surgery")
    model = merged_by(session, config).model
    features = random_features(0)
    answers = [model.corrected(features, task) for task in TASKS]
    assert not torch.equal(answers[0], answers[1])
    assert torch.equal(answers[2], model.corrections["gamma"](features))


def test_the_best_checked_correction_of_each_task_is_kept(session: Session) -> None:
    def found(keep: str) -> dict[tuple[str, str], float]:
        reckless = {"surgery.steps": 20, "surgery.lr": 0.3, "surgery.batch_size": 4}
        config = config_of({**reckless, "surgery.keep": keep}, "task_arithmetic", "surgery")
        return {(m.task, m.metric): m.value for m in learned_by(session, config).metrics}

    last, best = found("last"), found("best")
    assert all(best[task, "agreement"] >= best[task, "agreement:start"] for task in TASKS)
    assert last["mean", "agreement"] < last["mean", "agreement:start"]


def test_a_correction_is_scored_by_the_agreement_of_its_task(session: Session) -> None:
    plan = real_plan(session, Surgery(check_images=24))
    for problem, task in zip(plan.problems, TASKS, strict=True):
        images = session.material.task(task).adapt.batch(
            np.arange(24), session.material.config.preprocess
        )
        own = session.models.facts(task, task, "adapt").logits[:24].argmax(dim=1)
        found = plan.result().logits(images, task).argmax(dim=1)
        assert problem.score() == pytest.approx((found == own).double().mean().item())


def real_plan(session: Session, hyper: Surgery) -> Plan:
    """Plan the surgery of weight averaging."""
    model = merged_by(session, config_of({}, "weight_averaging")).model
    adapt = {task.name: task.adapt for task in session.material.tasks}
    scope = Scope(
        models=session.models,
        adapt=adapt,
        features=lambda model, task: model_features(session.material, model, adapt[task], task),
        agreement=lambda model, images: 0.0,
        seed=0,
    )
    return build(hyper, model, scope)


def test_a_corrected_model_answers_features(session: Session) -> None:
    config = config_of({"surgery.steps": 2}, "task_arithmetic", "surgery")
    model = merged_by(session, config).model
    task = session.material.tasks[0]
    images = task.adapt.batch(np.arange(4), session.material.config.preprocess)
    logits = model.heads["alpha"](model.features(images, "alpha"))
    torch.testing.assert_close(logits, model.logits(images, "alpha"))
