from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from distmerge.coordinator import Progress, optimise
from distmerge.methods.adamerging import AdaMerging
from distmerge.methods.adamerging.stage import build
from distmerge.methods.contract import Draw, Facts, Gradient, MergedModel, Point, Problem, Scope
from distmerge.methods.entropy import effective, reached
from distmerge.methods.losses import BatchLoss, Teacher, mean_entropy, mean_relative_entropy
from distmerge.models import Tower
from distmerge.run import Session
from distmerge.spec import ModelFiles, Value
from distmerge.tasks import Role
from distmerge.taskvectors import Layout, TaskVectors, contract, merge, merge_groups
from tests.coordinator.sessions import (
    config_of,
    ignored,
    merged_by,
    session_of,
    with_vectors,
)
from tests.oracles import adamerging
from tests.world import TOWER

BASE = torch.tensor([1.0, 0, 0, 1], dtype=torch.float64)
VECTORS = torch.tensor([[1.0, 0, 0, -1], [0, 1, 1, 0]], dtype=torch.float64)
IMAGES = torch.tensor([[1.0, 0.5], [-1.0, 2.0]], dtype=torch.float64)
BANK = TaskVectors(("one", "two"), Layout.of({"weight": torch.Size([2, 2])}), BASE, VECTORS)


@dataclass(frozen=True)
class LinearModels:
    """The port on models that are one linear layer, with one image per task."""

    def facts(self, model: str, task: str, role: Role) -> Facts:
        raise NotImplementedError

    def gradient(self, point: Point, draw: Draw, loss: BatchLoss) -> Gradient:
        weight = merge(BANK, point.coefficients).requires_grad_()
        nobody = Teacher(torch.zeros(2, dtype=torch.int64), torch.zeros(2))
        total = 2 * loss(IMAGES @ weight.view(2, 2).T, nobody)
        (gradient,) = torch.autograd.grad(total, weight)
        return Gradient(total.item(), contract(BANK, gradient), {})


def linear_problem(hyper: AdaMerging) -> tuple[Problem, Tensor]:
    """Give the golden example of algorithms.md 3.4 as a problem, and its coefficients."""
    model = MergedModel.pretrained(Tower(TOWER), BANK, {})
    scope = Scope(
        models=LinearModels(),
        adapt={},
        features=lambda model, task: IMAGES,
        agreement=lambda model, images: 0.0,
        seed=0,
    )
    (problem,) = build(hyper, model, scope).problems
    return problem, problem.parameters[0]


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world)


def settings(**values: Value) -> dict[str, Value]:
    quick: dict[str, Value] = {"steps": 10, "batch_size": 8, "lr": 0.01}
    return {f"adamerging.{name}": value for name, value in {**quick, **values}.items()}


def coefficients(session: Session, **values: Value) -> Tensor:
    return merged_by(session, config_of(settings(**values), "adamerging")).model.coefficients


def test_the_golden_example_gives_its_loss_and_gradient() -> None:
    problem, raw = linear_problem(AdaMerging())
    assert problem.backward(0) == pytest.approx(0.6191210810 + 0.4083095273, abs=1e-9)
    golden = torch.tensor([[-0.0375788233], [0.7429023162]], dtype=torch.float64)
    torch.testing.assert_close(raw.grad, golden, rtol=0, atol=1e-9)


@pytest.mark.parametrize("grouping", ["global", "per_tensor"])
def test_the_golden_example_takes_its_first_step(grouping: str) -> None:
    problem, raw = linear_problem(AdaMerging(grouping=grouping, steps=1, lr=1e-3))
    optimise(problem, ignored)
    golden = torch.tensor([[0.301], [0.299]], dtype=torch.float64)
    torch.testing.assert_close(raw, golden, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("steps", "lr"), [(1, 1e-3), (50, 1e-3), (30, 0.05)])
def test_adaptation_follows_the_oracle_also_where_a_coefficient_dies(steps: int, lr: float) -> None:
    problem, raw = linear_problem(AdaMerging(steps=steps, lr=lr))
    optimise(problem, ignored)
    base, vectors = BASE.view(2, 2).numpy(), list(VECTORS.view(2, 2, 2).numpy())
    trace = adamerging.adapted(base, vectors, IMAGES.numpy(), init=0.3, steps=steps, lr=lr)
    np.testing.assert_allclose(raw[:, 0].numpy(), trace[-1], rtol=0, atol=1e-12)


def test_clamping_lets_a_coefficient_die_and_projecting_does_not() -> None:
    dead = linear_problem(AdaMerging(steps=30, lr=0.05))
    kept = linear_problem(AdaMerging(steps=30, lr=0.05, projection="project"))
    optimise(dead[0], ignored)
    optimise(kept[0], ignored)
    assert dead[1].min() < -0.01
    assert kept[1].min() == 0


@pytest.mark.parametrize("projection", ["clamp", "project", "none"])
def test_the_reached_coefficients_are_those_that_autograd_reaches(projection: str) -> None:
    raw = torch.tensor([[-0.5, -1e-9, 1e-9, 0.4, 1 - 1e-9, 1 + 1e-9, 3.0]], dtype=torch.float64)
    through = raw.clone().requires_grad_()
    effective(through, projection).sum().backward()
    assert through.grad is not None
    assert torch.equal(reached(raw, projection), through.grad)


@pytest.mark.parametrize("boundary", [0.0, 1.0])
def test_a_coefficient_on_the_boundary_is_reached(boundary: float) -> None:
    """algorithms.md 2.2; torch's own clamp gives 1 or 0 here, depending on its version."""
    assert reached(torch.tensor([[boundary]], dtype=torch.float64), "clamp").item() == 1


@pytest.mark.parametrize("projection", ["project", "none"])
def test_coefficients_are_clamped_nowhere_else(projection: str) -> None:
    raw = torch.tensor([[-0.5, 0.4, 3.0]], dtype=torch.float64)
    assert torch.equal(effective(raw, projection), raw)
    assert effective(raw, projection).data_ptr() != raw.data_ptr()


@pytest.mark.parametrize("grouping", ["global", "per_block", "per_tensor"])
def test_there_is_one_coefficient_per_task_and_group(session: Session, grouping: str) -> None:
    groups = merge_groups(session.vectors.layout, grouping)  # type: ignore[arg-type]  # a literal
    spread = coefficients(session, grouping=grouping)
    representatives = groups.index.tolist()
    first = [representatives.index(i) for i in range(len(groups.names))]
    assert torch.equal(groups.spread(spread[:, first]), spread)
    assert len(spread[:, first].unique()) == 3 * len(groups.names)


def test_task_wise_adaptation_sums_the_gradient_over_the_tensors(session: Session) -> None:
    draw = Draw(0, 0, 8, 2)
    problem = build_on(session, AdaMerging(grouping="global", batch_size=8))
    problem.backward(0)
    start = torch.full((3, 32), 0.3, dtype=torch.float64)
    gradient = session.models.gradient(Point(session.vectors, start), draw, mean_entropy)
    torch.testing.assert_close(
        problem.parameters[0].grad, gradient.coefficients.sum(1, keepdim=True), rtol=0, atol=1e-12
    )


def build_on(session: Session, hyper: AdaMerging) -> Problem:
    material = session.material
    scope = Scope(
        models=session.models,
        adapt={task.name: task.adapt for task in material.tasks},
        features=lambda model, task: torch.zeros(1, 1),
        agreement=lambda model, images: 0.0,
        seed=0,
    )
    model = MergedModel.pretrained(material.tower, session.vectors, material.heads)
    return build(hyper, model, scope).problems[0]


@pytest.mark.parametrize(
    ("entropy", "loss"), [("plain", mean_entropy), ("relative", mean_relative_entropy)]
)
def test_the_entropy_that_is_asked_for_is_minimised(
    session: Session, entropy: str, loss: BatchLoss
) -> None:
    hyper = AdaMerging.model_validate({"entropy": entropy, "batch_size": 8})
    start = torch.full((3, 32), 0.3, dtype=torch.float64)
    point = Point(session.vectors, start)
    expected = session.models.gradient(point, Draw(0, 0, 8, 2), loss)
    assert build_on(session, hyper).backward(0) == expected.loss


def test_a_coefficient_outside_the_unit_interval_gets_no_gradient(session: Session) -> None:
    problem = build_on(session, AdaMerging(batch_size=8))
    raw = problem.parameters[0]
    raw[0], raw[1, :5], raw[2] = -1e-6, 1 + 1e-6, 1.0
    problem.backward(0)
    assert raw.grad is not None
    assert not raw.grad[0].any()
    assert not raw.grad[1, :5].any()
    assert raw.grad[1, 5:].all()
    assert raw.grad[2].all()


def test_the_coefficients_of_an_unchanged_tensor_never_move(session: Session) -> None:
    segment = session.vectors.layout.segments[7]
    vectors = session.vectors.vectors.clone()
    vectors[1, segment.start : segment.stop] = 0
    changed = with_vectors(session, replace(session.vectors, vectors=vectors))
    moved = coefficients(changed, steps=20) != 0.3
    assert not moved[1, 7]
    assert moved.sum() == 3 * 32 - 1


@pytest.mark.parametrize("entropy", ["plain", "relative"])
def test_the_entropy_falls(session: Session, entropy: str) -> None:
    trace: list[Progress] = []
    values = settings(steps=50, entropy=entropy)
    merged_by(session, config_of(values, "adamerging"), observe=trace.append)
    losses = [progress.loss for progress in trace]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


@pytest.mark.parametrize("projection", ["clamp", "project"])
def test_the_coefficients_of_the_merge_stay_between_zero_and_one(
    session: Session, projection: str
) -> None:
    found = coefficients(session, steps=30, lr=0.1, projection=projection)
    assert found.min() == 0
    assert found.max() <= 1


def test_keeping_the_best_checked_step_guards_against_collapse(session: Session) -> None:
    def share(keep: str) -> float:
        values = settings(steps=20, lr=0.3, init=0.6, projection="none", keep=keep, check_every=5)
        return adapt_agreement(session, merged_by(session, config_of(values, "adamerging")).model)

    first = config_of({"task_arithmetic.scaling": 0.6}, "task_arithmetic")
    start = adapt_agreement(session, merged_by(session, first).model)
    assert share("last") < start - 0.1
    assert share("best") >= start


def adapt_agreement(session: Session, model: MergedModel) -> float:
    preprocess, shares = session.material.config.preprocess, []
    for task in session.material.tasks:
        images = task.adapt.batch(np.arange(len(task.adapt)), preprocess)
        own = session.models.facts(task.name, task.name, "adapt").logits.argmax(dim=1)
        shares.append((model.logits(images, task.name).argmax(dim=1) == own).double().mean())
    return float(sum(shares) / len(shares))
