"""What a person sees while a sweep runs: a live table in a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import NamedTuple

from rich.console import Console
from rich.live import Live
from rich.table import Table

from distmerge.coordinator import Progress
from distmerge.sweep.progress.steps import Standing
from distmerge.sweep.search.search import Suggestion

STEPS_SHOWN = 10  # a step may take a millisecond


class Ended(NamedTuple):
    """How a run ended, as far as the search and the board care."""

    score: float | None
    accuracy: float | None
    wall_s: float
    error: str | None
    suspicion: str = ""
    """What looks like a collapse, in words."""
    cost: float = 0.0
    """Adapt images drawn."""
    rungs: tuple[tuple[int, float], ...] = ()
    """Steps and label-free scores at which successive halving took a look."""


class InProgress(NamedTuple):
    """A run in progress."""

    suggestion: Suggestion
    since: float
    """By ``time.monotonic``."""
    standing: Standing | None = None
    first: Standing | None = None
    """The first that was known in the problem that it solves."""
    first_at: float = 0.0

    def at(self, standing: Standing) -> "InProgress":
        """Give the run with where it stands now."""
        if self.first and self.first.problem == standing.problem:
            return self._replace(standing=standing)
        return self._replace(standing=standing, first=standing, first_at=time.monotonic())

    @property
    def left_s(self) -> float:
        """Seconds to the end of its problem, by the pace in it; 0 where no pace is known yet."""
        if not self.standing or not self.first or self.standing.step <= self.first.step:
            return 0.0
        pace = (time.monotonic() - self.first_at) / (self.standing.step - self.first.step)
        return pace * (self.standing.steps - self.standing.step)


class Board:
    """Counts runs, estimates the rest, and shows both."""

    def __init__(self, console: Console, total: int) -> None:
        self._console, self.total = console, total
        self._running: dict[str, InProgress] = {}
        self._ended: list[Ended] = []
        self._start = time.monotonic()
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> "Board":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def started(self, suggestion: Suggestion) -> None:
        """Take note of a run that begins."""
        now = time.monotonic()
        self._start = self._start if self.has_begun else now
        self._running[suggestion.run_id] = InProgress(suggestion, now)
        self.refresh()

    def stepped(self, progress: Progress) -> None:
        """Take note of a step of the only run in progress."""
        for run_id, run in self._running.items():
            last = run.standing
            score = progress.score if progress.score is not None else last and last.score
            standing = Standing(progress.problem, progress.step, progress.steps, score)
            self.told({run_id: standing})
        if progress.step % STEPS_SHOWN == 0:
            self.refresh()

    def told(self, standings: Mapping[str, Standing]) -> None:
        """Take note of where runs in progress stand, by run id."""
        for run_id in standings.keys() & self._running.keys():
            self._running[run_id] = self._running[run_id].at(standings[run_id])

    def ended(self, suggestion: Suggestion, ended: Ended) -> None:
        """Take note of a run that ended, well or not."""
        self._running.pop(suggestion.run_id, None)
        self._ended.append(ended)
        self._console.print(self._line(suggestion, ended), highlight=False, soft_wrap=True)
        self.refresh()

    def say(self, line: str) -> None:
        """Show a line that is of no one run."""
        self._console.print(line, highlight=False, soft_wrap=True)

    def refresh(self) -> None:
        """Redraw the table of running runs."""
        if self._console.is_terminal:
            self._live.update(self._table(), refresh=True)

    @property
    def in_progress(self) -> tuple[InProgress, ...]:
        """The runs in progress, those that began first in front."""
        return tuple(self._running.values())

    @property
    def has_begun(self) -> bool:
        """Whether a run has."""
        return bool(self._running or self._ended)

    @property
    def waiting(self) -> int:
        """How many runs have not begun."""
        return self.total - len(self._ended) - len(self._running)

    @property
    def failed(self) -> int:
        """How many runs failed."""
        return sum(ended.error is not None for ended in self._ended)

    def eta_s(self) -> float | None:
        """Give the seconds to the end, by the pace so far; None before the first run ends.

        What is left of a run in progress is the least.
        """
        left = self.total - len(self._ended)
        if not self._ended:
            return None
        pace = (time.monotonic() - self._start) / len(self._ended)
        return max([left * pace, *(run.left_s for run in self.in_progress)])

    def _line(self, suggestion: Suggestion, ended: Ended) -> str:
        head = f"run {len(self._ended):>3}/{self.total}  {suggestion.config.name:<24}"
        if ended.error is not None:
            return f"{head} failed after {ended.wall_s:.1f} s: {ended.error.splitlines()[0]}"
        if ended.score is None and ended.rungs:
            step, score = max(ended.rungs)
            return (
                f"{head} ended early at step {step}, agreement {score:.4f}  {ended.wall_s:6.1f} s  "
                f"{settings_text(suggestion)}"
            )
        eta = self.eta_s()
        rest = f"  ETA {eta:.0f} s" if eta else ""
        rest += f"  collapse? {ended.suspicion}" if ended.suspicion else ""
        return (
            f"{head} score {ended.score:7.4f}  accuracy {100 * (ended.accuracy or 0):5.1f} %  "
            f"{ended.wall_s:6.1f} s  {settings_text(suggestion)}{rest}"
        )

    def _table(self) -> Table:
        eta = self.eta_s()
        rest = f", ETA {eta:.0f} s" if eta is not None else ""
        table = Table(title=f"{len(self._ended)} of {self.total} runs done{rest}", box=None)
        for title in ("running", "settings", "s"):
            table.add_column(title, justify="right" if title == "s" else "left")
        for run in self.in_progress:
            seconds = f"{time.monotonic() - run.since:.0f}"
            settings = f"{settings_text(run.suggestion)}  {_step(run.standing)}"
            table.add_row(run.suggestion.config.name, settings, seconds)
        return table


def _step(standing: Standing | None) -> str:
    return f"{standing.problem}: step {standing.step}/{standing.steps}" if standing else ""


def settings_text(suggestion: Suggestion) -> str:
    """Give a repeat's seed, and the settings that differ from the methods' defaults."""
    changed = [f"seed={suggestion.config.seed}"] if suggestion.number is None else []
    for stage in suggestion.config.stages:
        defaults = type(stage.hyper)().model_dump()
        changed += [
            f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}"
            for key, value in stage.hyper.model_dump().items()
            if value != defaults[key]
        ]
    return " ".join(changed) or "defaults"
