import math
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
    Material,
    drawn_teachers,
    point_gradient,
)
from distmerge.coordinator.gradient import Workspace
from distmerge.errors import DivergenceError
from distmerge.methods.contract import Draw, Facts, Gradient, Point
from distmerge.methods.losses import BatchLoss, Teacher, mean_entropy, softmax_entropy
from distmerge.models import Head, Tower
from distmerge.run import Session
from distmerge.spec import ModelFiles, Preprocess, Tokens
from distmerge.tasks import ModelInput, Role, Samples, batch_indices
from distmerge.taskvectors import TaskVectors, merge
from tests.coordinator.draws import DRAW, START, TASKS, untaught
from tests.coordinator.sessions import config_of, merged_by, session_of


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world)


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


def total(parts: Sequence[Gradient]) -> Gradient:
    coefficients = torch.stack([part.coefficients for part in parts]).sum(0)
    return Gradient(sum(part.loss for part in parts), coefficients, {})


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


@pytest.mark.parametrize("activations_mb", [0, 1, 1024])
def test_tasks_that_share_a_forward_have_the_gradient_of_tasks_that_do_not(
    exact: Exact, activations_mb: int
) -> None:
    alone = total([exact.gradient(START, [task]) for task in TASKS])
    found = replace(exact, material=replace(exact.material, activations_mb=activations_mb))
    together = found.gradient(START)
    assert together.loss == pytest.approx(alone.loss, rel=1e-12)
    torch.testing.assert_close(together.coefficients, alone.coefficients, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize(
    ("activations_mb", "sizes"), [(0, [8, 8, 8]), (1024, [24])], ids=["no room", "room"]
)
def test_as_many_tasks_share_a_forward_as_there_is_room_for(
    session: Session, activations_mb: int, sizes: list[int]
) -> None:
    seen: list[int] = []

    class Watched(Tower):
        def features(self, weights, inputs):  # type: ignore[no-untyped-def]  # as above it
            seen.append(len(inputs))
            return super().features(weights, inputs)

    material = replace(
        session.material, tower=Watched(session.material.config), activations_mb=activations_mb
    )
    teachers = untaught(TASKS, DRAW)
    point_gradient(material, Point(session.vectors, START), DRAW, mean_entropy, teachers)
    assert seen == sizes


def test_a_workspace_that_was_used_before_changes_nothing(session: Session) -> None:
    workspace, teachers = Workspace(), untaught(TASKS, DRAW)
    point = Point(session.vectors, START)
    fresh = point_gradient(session.material, point, DRAW, mean_entropy, teachers)
    elsewhere = Point(session.vectors, START + 0.1)
    point_gradient(session.material, elsewhere, DRAW, mean_entropy, teachers, workspace)
    again = point_gradient(session.material, point, DRAW, mean_entropy, teachers, workspace)
    assert again.loss == fresh.loss
    assert torch.equal(again.coefficients, fresh.coefficients)


def test_bfloat16_rounds_the_tower_and_neither_coefficients_nor_own_tensors(
    session: Session,
) -> None:
    name = "transformer.resblocks.1.mlp.c_proj.bias"
    point = Point(session.vectors, START, {"beta": {name: torch.full((16,), 0.1)}})
    rounded = replace(session.material, precision="bfloat16")
    teachers = untaught(TASKS, DRAW)
    found = point_gradient(rounded, point, DRAW, mean_entropy, teachers)
    expected = point_gradient(session.material, point, DRAW, mean_entropy, teachers)
    assert found.loss != expected.loss
    assert found.loss == pytest.approx(expected.loss, rel=0.01)
    assert found.coefficients.dtype == torch.float64
    difference = (found.coefficients - expected.coefficients).norm()
    assert difference < 0.05 * expected.coefficients.norm()
    assert found.own["beta"][name].dtype == torch.float32
