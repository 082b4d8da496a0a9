import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Int64
from torch import Tensor

from distmerge.coordinator import (
    FeatureBlock,
    Material,
    MergePoint,
    TaskWorker,
    drawn_teachers,
    point_gradient,
)
from distmerge.errors import CapacityError, CheckpointError, DivergenceError
from distmerge.methods.contract import PRETRAINED, Draw, Facts, Gradient, Point
from distmerge.methods.losses import BatchLoss, Teacher, mean_entropy, softmax_entropy
from distmerge.models import Head, load_state
from distmerge.run import Session
from distmerge.spec import ModelFiles, Preprocess, Tokens
from distmerge.tasks import ModelInput, Role, Samples, batch_indices
from distmerge.taskvectors import Selection, TaskVectors, merge, selected
from tests.coordinator.sessions import config_of, merged_by, session_of, source_of

DRAW = Draw(seed=0, step=3, batch_size=4, batches=2)
START = torch.full((3, 32), 0.3, dtype=torch.float64)
TASKS = ("alpha", "beta", "gamma")
SHARES = {
    "one": [["alpha", "beta", "gamma"]],
    "two": [["alpha", "gamma"], ["beta"]],
    "three": [["gamma"], ["alpha"], ["beta"]],
}
every_split = pytest.mark.parametrize("shares", SHARES.values(), ids=SHARES)


class DoubleImages(Samples):
    """Images in float64, in which sums are exact enough to compare."""

    def batch(
        self, indices: Int64[np.ndarray, " batch"], preprocess: Preprocess | Tokens
    ) -> ModelInput:
        return super().batch(indices, preprocess).double()


@dataclass(frozen=True)
class Exact:
    """The tiny world in float64."""

    material: Material
    vectors: TaskVectors

    def gradient(
        self, coefficients: Tensor, tasks: Sequence[str] = TASKS, draw: Draw = DRAW
    ) -> Gradient:
        point = Point(self.vectors, coefficients)
        return point_gradient(self.material, point, draw, mean_entropy, untaught(tasks, draw))

    def loss(self, weights: Tensor) -> Tensor:
        """Give the loss at ``weights``, task by task, with a graph."""
        total = torch.zeros((), dtype=torch.float64)
        for task in self.material.tasks:
            indices = batch_indices(0, task.name, 3, size=8, available=len(task.adapt))
            images = task.adapt.batch(indices, self.material.config.preprocess)
            named = self.vectors.layout.unflatten(weights)
            logits = self.material.heads[task.name](self.material.tower.features(named, images))
            total = total + 2 * softmax_entropy(logits).mean()
        return total


@dataclass(frozen=True)
class SharedModels:
    """The port where the tasks of a gradient are shared out among workers."""

    session: Session
    shares: Sequence[Sequence[str]]

    def facts(self, model: str, task: str, role: Role) -> Facts:
        return self.session.models.facts(model, task, role)

    def gradient(self, point: Point, draw: Draw, loss: BatchLoss) -> Gradient:
        material = self.session.material
        return total(
            [
                point_gradient(material, point, draw, loss, untaught(share, draw))
                for share in self.shares
            ]
        )


def untaught(tasks: Sequence[str], draw: Draw) -> dict[str, Teacher]:
    """Give teachers for losses that do not listen to them."""
    nothing = Teacher(torch.zeros(draw.size, dtype=torch.int64), torch.zeros(draw.size))
    return dict.fromkeys(tasks, nothing)


def total(parts: Sequence[Gradient]) -> Gradient:
    coefficients = torch.stack([part.coefficients for part in parts]).sum(0)
    return Gradient(sum(part.loss for part in parts), coefficients, {})


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world)


@pytest.fixture(scope="module")
def exact(session: Session) -> Exact:
    tasks = tuple(
        replace(task, adapt=DoubleImages(task.adapt.array, task.adapt.digest))
        for task in session.material.tasks
    )
    heads = {
        name: Head(**{k: t.double() for k, t in head.tensors.items()}, normalised=head.normalised)
        for name, head in session.material.heads.items()
    }
    bank = session.vectors
    return Exact(
        replace(session.material, tasks=tasks, heads=heads),
        replace(bank, base=bank.base.double(), vectors=bank.vectors.double()),
    )


@pytest.fixture(scope="module")
def worker(world: ModelFiles, session: Session) -> TaskWorker:
    vectors = session.vectors
    return TaskWorker(
        source_of(world),
        ["alpha", PRETRAINED],
        base=vectors.base.numpy(),
        vectors=vectors.vectors.numpy(),
    )


def blocks(worker: TaskWorker, session: Session, model: str, block: int) -> list[FeatureBlock]:
    (key,) = (k for k in session.digests.keys if k[:3] == (model, "alpha", "select"))
    return list(worker.blocks(key, block))


def test_a_worker_says_who_it_is(worker: TaskWorker) -> None:
    assert worker.info() == (os.getpid(), ("alpha", PRETRAINED), "cpu")


@pytest.mark.parametrize("block", [1, 7, 16, 100])
@pytest.mark.parametrize("model", ["alpha", PRETRAINED])
def test_facts_do_not_depend_on_the_size_of_the_blocks(
    worker: TaskWorker, session: Session, model: str, block: int
) -> None:
    parts = blocks(worker, session, model, block)
    (whole,) = blocks(worker, session, model, 16)
    assert [len(part.features) for part in parts[:-1]] == [block] * (len(parts) - 1)
    for name, expected in whole._asdict().items():
        joined = np.concatenate([getattr(part, name) for part in parts])
        # A matrix product's rounding depends on the number of rows.
        np.testing.assert_allclose(joined, expected, rtol=1e-6, atol=1e-5)


def test_a_repeated_call_streams_the_same_numbers(worker: TaskWorker, session: Session) -> None:
    one, other = (blocks(worker, session, "alpha", 7) for _ in range(2))
    for a, b in zip(one, other, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_facts_are_those_of_the_models_own_checkpoint(
    worker: TaskWorker, session: Session, world: ModelFiles
) -> None:
    material, task = session.material, session.material.task("alpha")
    images = task.select.samples.batch(np.arange(16), material.config.preprocess)
    encoding = material.tower.encode(load_state(world.tasks[0].checkpoint), images)
    logits = material.heads["alpha"](encoding.features)
    (facts,) = blocks(worker, session, "alpha", 16)
    np.testing.assert_allclose(facts.layers, encoding.layers, rtol=0, atol=1e-6)
    np.testing.assert_allclose(facts.features, encoding.features, rtol=0, atol=1e-6)
    np.testing.assert_allclose(facts.logits, logits, rtol=0, atol=1e-6)
    np.testing.assert_allclose(facts.confidence, logits.softmax(1).amax(1), rtol=0, atol=1e-6)
    assert (facts.logits.argmax(1) == task.select.labels).mean() > 0.9


def test_a_model_that_is_not_pinned_is_named(worker: TaskWorker, session: Session) -> None:
    (key,) = (k for k in session.digests.keys if k[:3] == ("beta", "beta", "select"))
    with pytest.raises(KeyError, match="beta"):
        list(worker.blocks(key, 16))


def test_a_missing_checkpoint_is_named(world: ModelFiles) -> None:
    task = world.tasks[0].model_copy(update={"checkpoint": world.base.parent / "gone"})
    files = world.model_copy(update={"tasks": (task, *world.tasks[1:])})
    with pytest.raises(CheckpointError, match="gone: no such checkpoint"):
        TaskWorker(source_of(files), ["alpha"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_worker_without_its_gpu_does_not_start(world: ModelFiles) -> None:
    with pytest.raises(CapacityError, match="this process sees no GPU"):
        TaskWorker(source_of(world), [], device="cuda:0")


def test_a_worker_computes_the_gradient_of_its_tasks(worker: TaskWorker, session: Session) -> None:
    teachers = untaught(["gamma", "alpha"], DRAW)
    found = worker.gradient(MergePoint(None, START, {}), DRAW, mean_entropy, teachers)
    point = Point(session.vectors, START)
    expected = point_gradient(session.material, point, DRAW, mean_entropy, teachers)
    assert found.loss == expected.loss
    assert torch.equal(found.coefficients, expected.coefficients)


def test_a_worker_thins_the_task_vectors_out_as_asked(worker: TaskWorker, session: Session) -> None:
    selection, teachers = Selection(density=0.2), untaught(TASKS, DRAW)
    found = worker.gradient(MergePoint(selection, START, {}), DRAW, mean_entropy, teachers)
    point = Point(selected(session.vectors, selection), START)
    expected = point_gradient(session.material, point, DRAW, mean_entropy, teachers)
    assert torch.equal(found.coefficients, expected.coefficients)


def test_tensors_of_a_task_replace_the_shared_ones_and_have_a_gradient_of_their_own(
    session: Session,
) -> None:
    name = "transformer.resblocks.1.mlp.c_proj.bias"
    head = session.material.heads["beta"]
    own = {"beta": {name: torch.full((16,), 0.1), "head.bias": head.bias + 1.0}}
    shared = merge(session.vectors, START)
    named = {**session.vectors.layout.unflatten(shared), name: own["beta"][name].clone()}
    bias = own["beta"]["head.bias"].clone().requires_grad_()
    named[name].requires_grad_()
    task = session.material.task("beta")
    indices = batch_indices(0, "beta", 3, size=8, available=len(task.adapt))
    images = task.adapt.batch(indices, session.material.config.preprocess)
    logits = replace(head, bias=bias)(session.material.tower.features(named, images))
    (2 * softmax_entropy(logits).mean()).backward()
    point = Point(session.vectors, START, own)
    found = point_gradient(session.material, point, DRAW, mean_entropy, untaught(TASKS, DRAW))
    torch.testing.assert_close(found.own["beta"]["head.bias"], bias.grad)
    torch.testing.assert_close(found.own["beta"][name], named[name].grad)
    assert found.own["alpha"] == {}


def test_a_loss_hears_the_teacher_of_the_drawn_images(session: Session) -> None:
    teachers = drawn_teachers(
        lambda task: session.models.facts(task, task, "adapt"), ["gamma"], DRAW
    )
    facts = session.models.facts("gamma", "gamma", "adapt")
    indices = batch_indices(0, "gamma", 3, size=8, available=40)
    assert torch.equal(teachers["gamma"].labels, facts.logits[indices].argmax(dim=1))
    assert torch.equal(teachers["gamma"].confidence, facts.confidence[indices])
    heard: list[Teacher] = []

    def listening(logits: Tensor, teacher: Teacher) -> Tensor:
        heard.append(teacher)
        return logits.sum()

    point_gradient(session.material, Point(session.vectors, START), DRAW, listening, teachers)
    assert torch.equal(heard[0].labels, teachers["gamma"].labels)


def test_a_worker_without_vectors_has_no_gradient(world: ModelFiles) -> None:
    with pytest.raises(AssertionError, match="started without task vectors"):
        TaskWorker(source_of(world), []).gradient(
            MergePoint(None, START, {}), DRAW, mean_entropy, untaught(TASKS, DRAW)
        )


def test_the_gradient_equals_autograd_through_the_merge(exact: Exact) -> None:
    coefficients = START.clone().requires_grad_()
    bank = exact.vectors
    sizes = torch.tensor([segment.size for segment in bank.layout.segments])
    spread = coefficients.repeat_interleave(sizes, dim=1)
    loss = exact.loss(bank.base + (spread * bank.vectors).sum(0))
    loss.backward()
    found = exact.gradient(START)
    assert found.loss == pytest.approx(loss.item(), abs=1e-12)
    torch.testing.assert_close(found.coefficients, coefficients.grad, rtol=0, atol=1e-11)


@settings(max_examples=10)
@given(st.integers(0, 2), st.integers(0, 31))
def test_the_gradient_equals_the_central_difference(exact: Exact, task: int, segment: int) -> None:
    step = torch.zeros_like(START)
    step[task, segment] = 1e-5
    above, below = (exact.gradient(START + sign * step).loss for sign in (1, -1))
    slope = exact.gradient(START).coefficients[task, segment].item()
    assert slope == pytest.approx((above - below) / 2e-5, abs=1e-6)


@every_split
def test_the_gradient_is_the_sum_over_the_workers(
    exact: Exact, shares: Sequence[Sequence[str]]
) -> None:
    found = total([exact.gradient(START, share) for share in shares])
    expected = exact.gradient(START)
    assert found.loss == pytest.approx(expected.loss, rel=1e-12)
    torch.testing.assert_close(found.coefficients, expected.coefficients, rtol=1e-12, atol=1e-14)


@every_split
def test_the_number_of_workers_does_not_change_a_trajectory(
    session: Session, shares: Sequence[Sequence[str]]
) -> None:
    settings = {"adamerging.steps": 20, "adamerging.batch_size": 8}
    config = config_of(settings, "adamerging")
    found = merged_by(session, config, models=SharedModels(session, shares)).model
    expected = merged_by(session, config).model
    torch.testing.assert_close(found.coefficients, expected.coefficients, rtol=0, atol=1e-6)


def test_two_batches_are_one_draw_whose_loss_counts_twice(exact: Exact) -> None:
    once = exact.gradient(START, draw=Draw(0, 3, batch_size=8, batches=1))
    twice = exact.gradient(START, draw=Draw(0, 3, batch_size=4, batches=2))
    assert twice.loss == pytest.approx(2 * once.loss, rel=1e-12)
    torch.testing.assert_close(twice.coefficients, 2 * once.coefficients, rtol=1e-12, atol=1e-14)


def test_gradients_of_other_steps_are_of_other_images(exact: Exact) -> None:
    losses = {exact.gradient(START, draw=replace(DRAW, step=step)).loss for step in range(4)}
    assert len(losses) == 4


def test_a_loss_that_is_not_finite_names_its_step_and_task(session: Session) -> None:
    def broken(logits: Tensor, _teacher: Teacher) -> Tensor:
        return logits.sum() * (math.nan if logits.shape[1] == 4 else 1)

    point = Point(session.vectors, START)
    with pytest.raises(DivergenceError, match="step 3: the loss of task beta is nan"):
        point_gradient(session.material, point, DRAW, broken, untaught(TASKS, DRAW))


def test_the_bank_keeps_no_graph(session: Session) -> None:
    bank = session.vectors
    point = Point(bank, START)
    point_gradient(session.material, point, DRAW, mean_entropy, untaught(TASKS, DRAW))
    assert not bank.base.requires_grad
    assert not bank.vectors.requires_grad
    assert not merge(bank, START).requires_grad
