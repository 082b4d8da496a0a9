import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from distmerge.coordinator import Checkpoint, Progress, optimise
from distmerge.coordinator.checkpoint import Solved
from distmerge.errors import DivergenceError
from distmerge.methods.adaptation import Checked
from distmerge.methods.contract import Problem
from tests.coordinator.sessions import ignored
from tests.oracles import adamerging

LR = 0.1


def number(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)


def towards_zero(value: Tensor) -> Callable[[int], float]:
    """Give ``backward`` of the loss ``value ** 2 / 2``."""

    def backward(step: int) -> float:
        value.grad = value.clone()
        return value.item() ** 2 / 2

    return backward


def never() -> float:
    raise AssertionError("the score was asked for")


def test_steps_are_those_of_adam() -> None:
    value = torch.tensor([1.0, -3.0, 0.2], dtype=torch.float64)
    first = value.numpy().copy()

    def backward(step: int) -> float:
        value.grad = torch.tensor([3.0, 1.0, -2.0]).double() * value + step
        return 0.0

    optimise(Problem("p", (value,), 20, LR, backward), ignored)
    factors = np.array([3.0, 1.0, -2.0])
    trace = adamerging.adam(first, lambda x, step: factors * x + step, steps=20, lr=LR)
    np.testing.assert_allclose(value.numpy(), trace[-1], rtol=0, atol=1e-12)


def test_gradients_of_the_step_before_are_gone() -> None:
    value, seen = number(1.0).requires_grad_(), []

    def backward(step: int) -> float:
        seen.append(value.grad)
        value.sum().backward()
        return 0.0

    optimise(Problem("p", (value,), 3, LR, backward), ignored)
    assert seen == [None, None, None]
    assert value.grad is not None
    assert value.grad.item() == 1


def test_every_step_is_observed_with_its_loss() -> None:
    value, trace = number(2.0), list[Progress]()
    optimise(Problem("p", (value,), 3, LR, towards_zero(value)), trace.append)
    assert [(p.problem, p.step, p.steps) for p in trace] == [("p", i, 3) for i in (1, 2, 3)]
    assert [p.loss for p in trace] == pytest.approx([2.0, 1.9**2 / 2, 1.8**2 / 2], abs=1e-3)


def test_the_projection_follows_every_step() -> None:
    value, seen = number(0.15), list[float]()

    def project() -> None:
        seen.append(value.item())
        value.clamp_(0.1)

    optimise(Problem("p", (value,), 3, LR, towards_zero(value), project=project), ignored)
    assert seen[0] == pytest.approx(0.05)
    assert len(seen) == 3
    assert value.item() == 0.1


def test_the_last_parameters_are_kept_without_asking_for_a_score() -> None:
    value = number(1.0)
    optimise(Problem("p", (value,), 3, LR, towards_zero(value), score=never), ignored)
    assert value.item() == pytest.approx(0.7, abs=0.01)


class Checks(NamedTuple):
    """Where a number was checked, what it was left as, and what was said of it."""

    places: list[float]
    left: float
    solved: Solved


def checked_by(scores: list[float], checks: Checked) -> Checks:
    """Step a number from 0 by +1 at most six times, checked against ``scores``."""
    value, checked, left = number(0.0), list[float](), list(scores)

    def backward(step: int) -> float:
        value.grad = -torch.ones_like(value)
        return 0.0

    def score() -> float:
        checked.append(round(value.item(), 6))
        return left.pop(0)

    problem = Problem("p", (value,), 6, 1.0, backward, checks=checks, score=score)
    solved = optimise(problem, ignored)
    return Checks(checked, round(value.item(), 6), solved)


def best(*, check_every: int, patience: int = 0) -> Checked:
    return Checked(keep="best", check_every=check_every, patience=patience)


def test_the_score_is_taken_before_the_first_step_every_so_often_and_at_the_end() -> None:
    assert checked_by([0, 0, 0, 0], best(check_every=2)).places == [0, 2, 4, 6]
    assert checked_by([0, 0, 0], best(check_every=4)).places == [0, 4, 6]
    assert checked_by([0, 0], best(check_every=100)).places == [0, 6]


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ([1.0, 0.9, 0.8, 0.7], 0),
        ([0.5, 0.9, 0.8, 0.7], 2),
        ([0.5, 0.6, 0.8, 0.7], 4),
        ([0.5, 0.6, 0.8, 0.9], 6),
        ([0.5, 0.9, 0.8, 0.9], 6),
        ([0.9, 0.9, 0.8, 0.7], 2),
        ([0.5, 0.5, 0.5, 0.5], 6),
        ([-math.inf, -math.inf, -math.inf, -math.inf], 6),
    ],
)
def test_the_best_checked_parameters_are_kept_and_of_equals_the_later(
    scores: list[float], kept: float
) -> None:
    found = checked_by(scores, best(check_every=2))
    assert found.left == kept
    assert found.solved == (6, kept)


@pytest.mark.parametrize(
    ("scores", "patience", "steps", "kept"),
    [
        ([0.5, 0.5], 1, 2, 2),
        ([0.5, 0.4], 1, 2, 0),
        ([0.5, 0.6, 0.6], 1, 4, 4),
        ([0.5, 0.6, 0.55, 0.5], 2, 6, 2),
        ([0.5, 0.4, 0.3], 2, 4, 0),
        ([0.5, 0.4, 0.6, 0.5], 2, 6, 4),
        ([0.5, 0.4, 0.3, 0.2], 0, 6, 0),
    ],
)
def test_checks_without_a_rise_stop_the_steps_and_the_best_are_kept(
    scores: list[float], patience: int, steps: int, kept: int
) -> None:
    found = checked_by(scores, best(check_every=2, patience=patience))
    assert found.solved == (steps, kept)
    assert found.left == kept
    assert len(found.places) == len(scores)


def test_patience_alone_keeps_the_last_parameters() -> None:
    found = checked_by([0.5, 0.4, 0.3], Checked(check_every=2, patience=2))
    assert found.places == [0, 2, 4]
    assert (found.left, found.solved) == (4, (4, 4))


def test_only_steps_that_are_done_are_observed() -> None:
    value, trace = number(2.0), list[Progress]()
    checks = Checked(check_every=1, patience=1)
    problem = Problem("p", (value,), 9, LR, towards_zero(value), checks=checks)
    optimise(problem, trace.append)
    assert [(p.step, p.steps) for p in trace] == [(1, 9)]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_by_name(loss: float) -> None:
    value = number(1.0)

    def backward(step: int) -> float:
        value.grad = value.clone()
        return loss if step == 2 else 0.0

    problem = Problem("coefficients", (value,), 5, LR, backward)
    with pytest.raises(DivergenceError, match=f"coefficients: step 2: loss {loss}, parameters fin"):
        optimise(problem, ignored)


def test_parameters_that_are_not_finite_stop_by_name() -> None:
    fine, bad = number(1.0), number(1.0)

    def backward(step: int) -> float:
        bad.grad = number(math.nan)
        return 0.5

    problem = Problem("surgery of alpha", (fine, bad), 5, LR, backward)
    with pytest.raises(DivergenceError, match=r"alpha: step 0: loss 0\.5, parameters not finite"):
        optimise(problem, ignored)


def saved_after(step: int) -> bytes:
    """Give the state of a problem that was killed between saving a step and showing it."""
    value, saved = number(2.0), list[bytes]()

    def kill(progress: Progress) -> None:
        if progress.step == step:
            raise SystemExit

    checks = Checked(keep="best", check_every=2)
    problem = Problem(
        "p", (value,), 6, LR, towards_zero(value), checks=checks, score=lambda: -value.item()
    )
    with pytest.raises(SystemExit):
        optimise(problem, kill, Checkpoint(b"", saved.append, 0.0))
    return saved[-1]


@pytest.mark.parametrize("step", [3, 4])
def test_a_step_that_was_saved_and_not_observed_is_observed_on_resume(step: int) -> None:
    value, whole, resumed = number(2.0), list[Progress](), list[Progress]()
    checks = Checked(keep="best", check_every=2)

    def problem() -> Problem:
        value.fill_(2.0)
        backward = towards_zero(value)
        return Problem("p", (value,), 6, LR, backward, checks=checks, score=lambda: -value.item())

    optimise(problem(), whole.append)
    optimise(problem(), resumed.append, Checkpoint(saved_after(step), lambda _: None, 1e6))
    expected = [(p.step, p.score) for p in whole[step - 1 :]]
    assert [(p.step, p.score) for p in resumed] == expected
    assert math.isnan(resumed[0].loss)
