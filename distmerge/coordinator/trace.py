"""How an optimisation went, in few points: its loss, its score and its merging coefficients."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float16, Float32, Int32
from torch import Tensor

from distmerge.coordinator.checkpoint import Checkpoint, Part, Solved
from distmerge.coordinator.optimise import Progress, optimise
from distmerge.methods.contract import Problem

MOST_POINTS = 32
"""Of a problem; steps between them are equal."""
MOST_NUMBERS = 50_000
"""In the coefficients of all points of a problem: more of them, and there are fewer points."""
_NAMES = ("steps", "losses", "coefficients", "check_steps", "scores")


class Trace(NamedTuple):
    """What was seen of one problem; a point is what its step began with."""

    problem: str
    before: int
    """Steps of the run's earlier problems."""
    groups: tuple[str, ...]
    """Names of the coefficients' columns; none where it learns something else."""
    steps: Int32[Tensor, " point"]
    losses: Float32[Tensor, " point"]
    """Of the step's batch; NaN after the last step."""
    coefficients: Float16[Tensor, "point task group"]
    check_steps: Int32[Tensor, " check"]
    scores: Float32[Tensor, " check"]
    """Agreement with the individual models; none where no check was asked for."""


def traced(
    problem: Problem,
    observe: Callable[[Progress], None],
    checkpoint: Checkpoint | None,
    before: int,
) -> tuple[Solved, Trace]:
    """Do as ``optimise``, and give what was seen; seeing changes no number.

    What was seen is part of the state in ``checkpoint``, so that a run that is interrupted and goes
    on has the same trace as one that is not.

    Raises:
        CheckpointError: the state in ``checkpoint`` is not one of this problem.
        DivergenceError: a loss or a parameter is not finite.
        ResultsError: the state cannot be saved.
    """
    seen = _Seen(problem)

    def look(progress: Progress) -> None:
        seen.check(progress)
        observe(progress._replace(before=before))

    watched = replace(problem, backward=seen.backward)
    solved = optimise(watched, look, _Shared(checkpoint or Checkpoint.none(), seen))
    if solved.kept == solved.steps:
        seen.point(solved.steps, torch.nan)
    return solved, Trace(problem.name, before, problem.groups, *seen.tensors())


class _Seen:
    """The points of one problem, by step."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        most = min(MOST_POINTS, MOST_NUMBERS // max(1, self._values().numel()))
        self._every = _stride(problem.steps, most)
        interval = problem.checks.check_every
        self._check_every = interval * _stride(problem.steps // interval, MOST_POINTS)
        self._points: dict[int, tuple[float, Tensor]] = {}
        self._scores: dict[int, float] = {}

    def backward(self, step: int) -> float:
        """Do the problem's backward pass, and see what the step began with."""
        loss = self._problem.backward(step)
        if step % self._every == 0:
            self.point(step, loss)
        return loss

    def point(self, step: int, loss: float) -> None:
        """Keep where the coefficients are."""
        self._points[step] = (loss, self._values())

    def _values(self) -> Float16[Tensor, "task group"]:
        current = self._problem.coefficients
        return current().half() if current else torch.zeros(0, 0, dtype=torch.float16)

    def check(self, progress: Progress) -> None:
        """Keep the score of a check."""
        is_last = progress.step == self._problem.steps
        if progress.score is not None and (is_last or progress.step % self._check_every == 0):
            self._scores[progress.step] = progress.score

    def tensors(self) -> tuple[Tensor, ...]:
        """Give all of it, in the order of ``_NAMES``."""
        points, scores = sorted(self._points.items()), sorted(self._scores.items())
        values = [value for _, (_, value) in points]
        return (
            torch.tensor([step for step, _ in points], dtype=torch.int32),
            torch.tensor([loss for _, (loss, _) in points], dtype=torch.float32),
            torch.stack(values) if values else self._values()[None][:0],
            torch.tensor([step for step, _ in scores], dtype=torch.int32),
            torch.tensor([score for _, score in scores], dtype=torch.float32),
        )

    def added(self, part: Part) -> Part:
        """Give a part of the run's state with what was seen."""
        named = zip(_NAMES, self.tensors(), strict=True)
        return part._replace(state={**part.state, **{f"trace.{k}": v for k, v in named}})

    def restore(self, part: Part) -> None:
        """Take what an earlier attempt has seen."""
        names = [f"trace.{name}" for name in _NAMES]
        if not part.state.keys() >= set(names):
            return  # the state is of a version that saw nothing
        steps, losses, values, check_steps, scores = (part.state[name] for name in names)
        seen = zip(losses.tolist(), values, strict=True)
        self._points = dict(zip(steps.tolist(), seen, strict=True))
        self._scores = dict(zip(check_steps.tolist(), scores.tolist(), strict=True))


class _Shared:
    """A run's state in which what was seen of a problem stands beside the problem's own."""

    def __init__(self, checkpoint: Checkpoint, seen: _Seen) -> None:
        self._inner, self._seen = checkpoint, seen

    def stored(self, problem: str) -> Part | None:
        part = self._inner.stored(problem)
        if part:
            self._seen.restore(part)
        return part

    def follow(self, current: Callable[[], Part | None]) -> None:
        def both() -> Part | None:
            part = current()
            return part and self._seen.added(part)

        self._inner.follow(both)

    def solve(self, part: Part) -> None:
        self._inner.solve(self._seen.added(part))

    def stepped(self) -> None:
        self._inner.stepped()


def _stride(count: int, most: int) -> int:
    """Give the distance of at most ``most`` points over ``count`` steps, both ends included."""
    return max(1, -(-count // max(1, most - 1)))
