"""Where a run in progress stands, told from its process about once a second."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from distmerge.coordinator import Progress

TELL_S = 1.0


class Standing(NamedTuple):
    """Where a run stands in the problem that it solves."""

    problem: str
    step: int
    steps: int
    score: float | None = None
    """The last that a check gave."""


class Point(NamedTuple):
    """One step, for curves."""

    problem: str
    step: int
    """Of the run, all problems together."""
    loss: float
    score: float | None
    coefficients: Mapping[str, float]
    """Means by task, where coefficients are learned."""


class Told(NamedTuple):
    """What a run's process tells of it."""

    run_id: str
    method: str
    standing: Standing
    points: tuple[Point, ...]
    """All steps since it last told; none if nobody draws them."""


class Steps:
    """Watches one run; tells where it stands, and ends it when the driver stops.

    Args:
        run_id: the run's.
        method: its stages.
        tell: takes what is told; gives whether the run is to save its state and end.
        observe: sees every step first.
        tasks: names for the means of coefficients; None: single steps are not told.
    """

    def __init__(
        self,
        run_id: str,
        method: str,
        tell: Callable[[Told], bool],
        observe: Callable[[Progress], None],
        tasks: tuple[str, ...] | None,
    ) -> None:
        self._run_id, self._method, self._tell = run_id, method, tell
        self._observe, self._tasks = observe, tasks
        self._points: list[Point] = []
        self._standing: Standing | None = None
        self._last = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        """Take a step.

        Raises:
            KeyboardInterrupt: the driver stops.
        """
        self._observe(progress)
        known = self._standing.score if self._standing else None
        score = known if progress.score is None else progress.score
        self._standing = Standing(progress.problem, progress.step, progress.steps, score)
        if self._tasks is not None:
            self._points.append(_point(progress, self._tasks))
        if time.monotonic() - self._last < TELL_S:
            return
        self._last = time.monotonic()
        if self._told(self._standing):
            raise KeyboardInterrupt

    def rest(self) -> None:
        """Tell the steps that have not been told when the run ends."""
        if self._points and self._standing:
            self._told(self._standing)

    def _told(self, standing: Standing) -> bool:
        points, self._points = tuple(self._points), []
        return self._tell(Told(self._run_id, self._method, standing, points))


def _point(progress: Progress, tasks: tuple[str, ...]) -> Point:
    step = progress.before + progress.step
    means = progress.coefficients().mean(dim=1).tolist() if progress.coefficients else []
    named = dict(zip(tasks, means, strict=True)) if means else {}
    return Point(progress.problem, step, progress.loss, progress.score, named)
