"""One run as a sweep does it: an error becomes a row, the sweep goes on."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

import torch

from distmerge.coordinator import IMAGES_DRAWN, Checkpoint, Progress, recipe_bytes
from distmerge.errors import ResultsError, WorkerTimeoutError
from distmerge.evaluation import MEAN
from distmerge.results import ADAPT, RunRecord, RunStore, suspicions
from distmerge.run import Session, named_record, run, run_id
from distmerge.spec import RunConfig, Study
from distmerge.sweep.board import Ended
from distmerge.sweep.history import RUNG
from distmerge.sweep.rungs import Looks, PrunedError, Rungs, Seen, rung_metrics

_RAY_OUT_OF_MEMORY = ("low on memory", "out of memory issue")  # what Ray says when it kills


class Done(NamedTuple):
    """A run's record, and its model as a recipe; no recipe for a run that failed."""

    record: RunRecord
    recipe: bytes | None


@runtime_checkable
class States(Protocol):
    """Where the states of unfinished runs lie."""

    def read_state(self, run_id: str) -> bytes:
        """Give what an earlier attempt left; nothing if there is none."""
        ...

    def write_state(self, run_id: str, content: bytes) -> None:
        """Keep a run's state, in place of an older one."""
        ...

    def read_rungs(self, method: str, run_id: str) -> Seen:
        """Give the scores at rungs that an earlier attempt had; none if there is none."""
        ...

    def stays(self, method: str, run_id: str, seen: Seen) -> bool:
        """Keep a run's scores at rungs; give whether it goes on from the last one."""
        ...


def unobserved(_progress: Progress) -> None:
    """Show nothing: the board of a cluster shows runs, not steps."""


def attempt(
    session: Session,
    config: RunConfig,
    trial_id: str,
    observe: Callable[[Progress], None] = unobserved,
    states: States | None = None,
) -> Done:
    """Give what a run leaves, whatever happens in it; it goes on from its state if it left one.

    Raises:
        ResultsError: the run's state cannot be read or written: the run is not to blame.
    """
    started_at, start = datetime.now(UTC), time.perf_counter()
    try:
        checkpoint = _checkpoint(session, config, states)
        looks = _looks(session, config, observe, states)
        model, record = run(session, config, _limited(looks, session.study), checkpoint)
    except ResultsError:
        raise
    except PrunedError as pruned:
        early = replace(
            named_record(session, config),
            trial_id=trial_id,
            status="pruned",
            step=max(pruned.seen),
            wall_s=time.perf_counter() - start,
            started_at=started_at,
            metrics=rung_metrics(pruned.seen),
        )
        return Done(early, None)
    except Exception as error:  # noqa: BLE001  # one failed run is one row; the sweep goes on
        failed = replace(
            named_record(session, config),
            trial_id=trial_id,
            status="error",
            error=f"{type(error).__name__}: {error}{advice(error)}",
            wall_s=time.perf_counter() - start,
            started_at=started_at,
        )
        return Done(failed, None)
    metrics = (*record.metrics, *rung_metrics(looks.seen))
    record = _refuse_no_number(replace(record, trial_id=trial_id, metrics=metrics))
    return Done(record, recipe_bytes(model) if record.status == "ok" else None)


def advice(error: object) -> str:
    """Give what to do about an error of memory, which does not say so itself."""
    of_python = isinstance(error, MemoryError | torch.OutOfMemoryError)
    if not of_python and not any(words in str(error) for words in _RAY_OUT_OF_MEMORY):
        return ""
    return (
        "; this run needs more memory than it had: give a trial more cores or a larger GPU share "
        "(ray.trial_cpus, ray.trial_gpus), run fewer at a time (ray.max_concurrent), or draw "
        "smaller batches (METHOD.batch_size)"
    )


def _checkpoint(session: Session, config: RunConfig, states: States | None) -> Checkpoint:
    every_s = session.study.checkpoint_s
    if states is None or every_s is None:
        return Checkpoint.none()
    identity = run_id(session.study, session.digests, config)
    return Checkpoint(states.read_state(identity), partial(states.write_state, identity), every_s)


def _looks(
    session: Session,
    config: RunConfig,
    observe: Callable[[Progress], None],
    states: States | None,
) -> Looks:
    """Give what sees every step, and ends the run at a rung where others are better."""
    study = session.study
    if states is None or study.asha is None or config.seed != study.seed:  # a repeat is no trial
        return Looks(None, {}, lambda _: True, observe)
    identity = run_id(study, session.digests, config)
    seen = states.read_rungs(config.name, identity)
    return Looks(study.asha, seen, partial(states.stays, config.name, identity), observe)


def _limited(observe: Callable[[Progress], None], study: Study) -> Callable[[Progress], None]:
    """Give ``observe`` for a run that may take ``trial_timeout_s`` from now on."""
    limit_s = study.trial_timeout_s
    end = math.inf if limit_s is None else time.monotonic() + limit_s

    def look(progress: Progress) -> None:
        if time.monotonic() > end:
            raise WorkerTimeoutError(
                f"not done in {limit_s:g} s (trial_timeout_s): {progress.problem} is at step "
                f"{progress.step} of {progress.steps}"
            )
        observe(progress)

    return look


def _refuse_no_number(record: RunRecord) -> RunRecord:
    """Give a record whose score is no number as that of a failed run; its numbers are kept."""
    score = _score(record)
    if score is None or math.isfinite(score):
        return record
    return replace(record, status="error", error=f"DivergenceError: the score is {score}")


def ended(record: RunRecord) -> Ended:
    """Give what the search and the board need to know of a record."""
    means = {(m.suite, m.metric): m.value for m in record.metrics if m.task == MEAN}
    return Ended(
        _score(record) if record.status == "ok" else None,
        means.get(("clean", "accuracy")),
        record.wall_s,
        record.error,
        ", ".join(suspicions(record.metrics)),
        means.get((ADAPT, IMAGES_DRAWN), 0.0),
        tuple(
            (int(name.removeprefix(RUNG)), score)
            for (_, name), score in means.items()
            if name.startswith(RUNG) and record.status != "error"
        ),
    )


def _score(record: RunRecord) -> float | None:
    scores = (m.value for m in record.metrics if m.task == MEAN and m.metric.startswith("score:"))
    return next(scores, None)


def recipe_name(study: str, run_id: str) -> str:
    """Give where a run's recipe lies below the root of the results."""
    return f"_recipes/{study}/{run_id}.safetensors"


def _state_name(study: str, run_id: str) -> str:
    return f"_runs/{study}/{run_id}.safetensors"


def _rungs_name(study: str, run_id: str) -> str:
    return f"_runs/{study}/{run_id}.json"


class Recorder:
    """Writes what runs leave, numbering the attempts at each; the only writer of a sweep."""

    halted = False
    """Whether runs in progress are to save their state and end."""

    def __init__(self, store: RunStore, study: str, rungs: Rungs | None = None) -> None:
        self._store, self._study, self._rungs = store, study, rungs
        rows = store.records(study)
        self.finished = frozenset(rows.loc[rows["status"] == "ok", "run_id"])
        last = rows.groupby("run_id")["attempt"].max()
        self._attempts = {str(run_id): int(number) for run_id, number in last.items()}

    def append(self, done: Done) -> None:
        """Store a run's recipe, then its rows: a row never names a recipe that is not there."""
        record = done.record
        number = self._attempts.get(record.run_id, -1) + 1
        if done.recipe is not None:
            self._store.write_file(recipe_name(record.study, record.run_id), done.recipe)
        self._store.append(replace(record, attempt=number))
        self._attempts[record.run_id] = number
        if record.status != "error":
            self._store.remove_file(_state_name(self._study, record.run_id))
        if self._rungs and self._rungs.asha and record.status != "error":
            self._store.remove_file(_rungs_name(self._study, record.run_id))

    def read_state(self, run_id: str) -> bytes:
        """Give what an unfinished run left, nothing if there is none."""
        return self._store.find_file(_state_name(self._study, run_id))

    def write_state(self, run_id: str, content: bytes) -> None:
        """Keep an unfinished run's state, in place of an older one."""
        self._store.write_file(_state_name(self._study, run_id), content)

    def read_rungs(self, method: str, run_id: str) -> Seen:
        """Give the scores at rungs that an unfinished run had."""
        content = self._store.find_file(_rungs_name(self._study, run_id))
        seen = {int(step): float(score) for step, score in json.loads(content or "{}").items()}
        assert self._rungs
        self._rungs.note(method, run_id, seen)
        return seen

    def stays(self, method: str, run_id: str, seen: Seen) -> bool:
        """Keep a run's scores at rungs; give whether it goes on from the last one."""
        self._store.write_file(_rungs_name(self._study, run_id), json.dumps(seen).encode())
        assert self._rungs
        return self._rungs.stays(method, run_id, max(seen), seen[max(seen)])

    def halt(self) -> None:
        """Ask the runs in progress to save their state and end."""
        self.halted = True

    def is_halted(self) -> bool:
        """Whether that was asked."""
        return self.halted
