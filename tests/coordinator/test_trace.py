"""What is seen of an optimisation: few points, the same after an interruption."""

from dataclasses import replace

import pytest
import torch

from distmerge.coordinator import Checkpoint, Progress, Trace
from distmerge.coordinator.trace import traced
from distmerge.methods.adaptation import Checked
from distmerge.methods.contract import MergedModel, Problem
from distmerge.spec import ModelFiles, Value
from distmerge.taskvectors import Grouping, merge_groups
from tests.coordinator.sessions import config_of, ignored, learned_by, session_of

EVERY_STEP = Checked(patience=100, check_every=1)


def falling(steps: int = 70, count: int = 2, checks: Checked = EVERY_STEP) -> Problem:
    """Give a problem whose coefficients, ``[1, count]``, fall from 1.5 towards zero."""
    raw = torch.full((1, count), 1.5, dtype=torch.float64)

    def backward(step: int) -> float:
        raw.grad = raw.clone()
        return float(raw.square().sum()) / 2

    return Problem(
        "falling",
        (raw,),
        steps,
        0.02,
        backward,
        checks=checks,
        score=lambda: -float(raw.sum()),
        coefficients=lambda: raw.clamp(0, 1),
        groups=tuple(map(str, range(count))),
    )


def traces(checkpoint: Checkpoint | None = None, stop_at: int = -1) -> tuple[Trace, ...]:
    """Solve two problems one after the other, until the run's step ``stop_at``."""

    def observe(progress: Progress) -> None:
        if progress.before + progress.step == stop_at:
            raise KeyboardInterrupt

    checkpoint = checkpoint or Checkpoint.none()
    found, before = [], 0
    with checkpoint:
        for problem in (falling(), replace(falling(9), coefficients=None, groups=())):
            solved, trace = traced(problem, observe, checkpoint, before)
            found.append(trace)
            before += solved.steps
    return tuple(found)


def test_a_problem_leaves_few_points() -> None:
    first, _ = traces()
    assert first.steps.tolist() == [*range(0, 70, 3), 70]
    assert first.check_steps.tolist() == list(range(3, 70, 3))
    assert bool(first.losses[:-1].isfinite().all())
    assert bool(first.losses[-1].isnan())  # no step begins with the last point


def test_points_hold_what_the_merge_uses() -> None:
    coefficients = traces()[0].coefficients
    assert coefficients.shape == (25, 1, 2)
    assert bool((coefficients[0] == 1).all())  # clamped
    assert 0 < float(coefficients[-1].max()) < 0.9


def test_problems_say_where_they_begin_and_may_learn_something_else() -> None:
    first, second = traces()
    assert (first.before, second.before) == (0, 70)
    assert (second.groups, second.coefficients.numel()) == ((), 0)


def test_large_coefficients_have_two_points() -> None:
    _, trace = traced(falling(count=60_000), ignored, None, 0)
    assert trace.steps.tolist() == [0, 70]


def test_an_early_stop_is_the_last_point() -> None:
    problem = replace(falling(checks=Checked(patience=2, check_every=1)), score=lambda: 0.0)
    _, trace = traced(problem, ignored, None, 0)
    assert trace.steps.tolist() == [0, 2]


def test_parameters_that_are_put_back_are_no_point_of_the_last_step() -> None:
    checks = Checked(keep="best", check_every=1)
    rising = falling(steps=4, checks=checks)
    problem = replace(rising, score=lambda: float(rising.parameters[0].sum()))
    solved, trace = traced(problem, ignored, None, 0)
    assert solved.kept == 0
    assert trace.steps.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("step", [2, 35, 70, 73])
def test_an_interrupted_run_goes_on_with_the_same_trace(step: int) -> None:
    saved = [b""]
    with pytest.raises(KeyboardInterrupt):
        traces(Checkpoint(b"", saved.append, 1e6), stop_at=step)
    found = traces(Checkpoint(saved[-1], ignored, 1e6))
    for one, other in zip(found, traces(), strict=True):
        assert one[:3] == other[:3]
        for mine, expected in zip(one[3:], other[3:], strict=True):
            torch.testing.assert_close(mine, expected, rtol=0, atol=0, equal_nan=True)


LEARNING: list[tuple[str, Grouping, dict[str, Value]]] = [
    ("adamerging", "per_block", {"steps": 2, "lr": 0.05}),
    ("adamerging", "per_tensor", {"projection": "project", "steps": 2, "lr": 0.05}),
    ("tinting", "global", {"steps": 2, "coefficient_lr": 0.05}),
    ("bd_merging", "per_block", {"router": "none", "head_steps": 1, "steps": 2, "lr": 0.05}),
]


@pytest.mark.parametrize(("method", "grouping", "settings"), LEARNING)
def test_a_method_tells_the_coefficients_that_its_model_has(
    method: str, grouping: Grouping, settings: dict[str, Value], world: ModelFiles
) -> None:
    session, settings = session_of(world), {**settings, "grouping": grouping}
    config = config_of({f"{method}.{name}": value for name, value in settings.items()}, method)
    model, _, _, seen = learned_by(session, config)
    assert isinstance(model, MergedModel)
    groups = merge_groups(session.vectors.layout, grouping)
    assert seen[-1].groups == groups.names
    found = groups.spread(seen[-1].coefficients[-1].double())
    torch.testing.assert_close(found, model.coefficients, rtol=0, atol=1e-3)  # float16
    assert float((seen[-1].coefficients[-1] - seen[-1].coefficients[0]).abs().max()) > 0.01
