"""What the writer of results knows of runs in progress: shown, logged, drawn."""

import logging
import time
from contextlib import ExitStack
from typing import NamedTuple

from distmerge.results import RunRecord, RunStore
from distmerge.sweep.progress.event_files import EventFiles
from distmerge.sweep.progress.logs import logged, note
from distmerge.sweep.progress.steps import Standing, Told

LOG_S = 10.0
"""Seconds between two lines about the steps of a run."""


class _Run(NamedTuple):
    """A run of which steps are told."""

    standing: Standing
    logged: float


class Journal:
    """Takes what happens to runs; on Ray steps are told from another thread than the rest.

    Args:
        store: where event files go.
        study: name of the study.
        tensorboard: whether to write them.
        logs: whether this process is to write a log; False where it does already.
    """

    def __init__(
        self, store: RunStore, study: str, *, tensorboard: bool = False, logs: bool = False
    ) -> None:
        self._open = ExitStack()
        self._open.enter_context(logged(store, study, "writer", wanted=logs))
        if logs:
            note("writer_started", "the writer of results starts, or starts again")
        self._runs: dict[str, _Run] = {}
        self._drawn = EventFiles(store, study) if tensorboard else None
        if self._drawn:
            self._open.callback(self._drawn.close)

    @property
    def standings(self) -> dict[str, Standing]:
        """Where the runs in progress stand, by run id; only those that have told it."""
        return {run_id: run.standing for run_id, run in list(self._runs.items())}

    def began(self, run_id: str, method: str, *, again: bool) -> None:
        """Take a run that begins, or one that was begun before and has not ended well."""
        event = "run_again" if again else "run_started"
        note(event, f"run {run_id} of {method}", run_id=run_id, method=method)

    def told(self, told: Told) -> None:
        """Take where a run stands."""
        now, known = time.monotonic(), self._runs.get(told.run_id)
        if known is None or now - known.logged >= LOG_S:
            _note_step(told)
            known = _Run(told.standing, now)
        self._runs[told.run_id] = known._replace(standing=told.standing)
        if self._drawn:
            self._drawn.draw(told)

    def looked(self, run_id: str, step: int, score: float, *, stays: bool) -> None:
        """Take what successive halving decided about a run."""
        message = f"run {run_id} {'goes on' if stays else 'ends'} at step {step}"
        note("run_rung", message, run_id=run_id, step=step, score=score, stays=stays)

    def ended(self, record: RunRecord) -> None:
        """Take how a run ended."""
        self._runs.pop(record.run_id, None)
        note(
            "run_ended",
            f"run {record.run_id} of {record.stages}: {record.error or record.status}",
            level=logging.ERROR if record.status == "error" else logging.INFO,
            run_id=record.run_id,
            method=record.stages,
            seed=record.seed,
            trial=record.trial_id,
            status=record.status,
            step=record.step,
            wall_s=record.wall_s,
            gpu_s=record.gpu_s,
        )
        if self._drawn:
            self._drawn.close(record.run_id)

    def close(self) -> None:
        """Finish the files."""
        self._open.close()


def _note_step(told: Told) -> None:
    standing = told.standing
    note(
        "run_step",
        f"run {told.run_id}: {standing.problem}, step {standing.step} of {standing.steps}",
        run_id=told.run_id,
        method=told.method,
        **standing._asdict(),
    )
