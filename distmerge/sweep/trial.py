"""One run as a sweep does it: an error becomes a row, the sweep goes on."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from distmerge.coordinator import IMAGES_DRAWN, Checkpoint, Progress, recipe_bytes
from distmerge.errors import (
    PrunedError,
    ResultsError,
    RunTimeoutError,
    WorkerDiedError,
    WorkerTimeoutError,
)
from distmerge.evaluation import MEAN
from distmerge.results import ADAPT, RunRecord, RunStore, suspicions
from distmerge.run import Session, named_record, run, run_id
from distmerge.spec import RunConfig, Study
from distmerge.sweep.advice import advice
from distmerge.sweep.progress.board import Ended
from distmerge.sweep.progress.journal import Journal
from distmerge.sweep.progress.steps import Standing, Steps, Told
from distmerge.sweep.search.history import scores_at_rungs
from distmerge.sweep.search.rungs import Looks, Rungs, Seen, rung_metrics
from distmerge.sweep.search.unfinished import (
    Unfinished,
    find_unfinished,
    remove_unfinished,
    write_unfinished,
)
from distmerge.sweep.states import States, unobserved, untold


class Done(NamedTuple):
    """A run's record, and its model as a recipe; no recipe for a run that failed."""

    record: RunRecord
    recipe: bytes | None


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
        WorkerDiedError: nor is it where a worker is lost for good.
        WorkerTimeoutError: nor where one does not answer.
    """
    steps = Steps(
        run_id(session.study, session.digests, config),
        config.name,
        states.tell if states else untold,
        observe,
        session.vectors.tasks if session.study.tensorboard else None,
    )
    try:
        return _attempt(session, config, trial_id, steps, states)
    finally:
        steps.rest()


def _attempt(
    session: Session,
    config: RunConfig,
    trial_id: str,
    observe: Callable[[Progress], None],
    states: States | None,
) -> Done:
    blank = replace(named_record(session, config), trial_id=trial_id, started_at=datetime.now(UTC))
    checkpoint = Checkpoint.none()
    try:
        checkpoint = _checkpoint(session, blank.run_id, states)
        looks = _looks(session, config, observe, states)
        model, record = run(session, config, _limited(looks, session.study), checkpoint)
    except (ResultsError, WorkerDiedError, WorkerTimeoutError):
        raise
    except PrunedError as pruned:
        seen = pruned.seen
        spent = _with_time(blank, session, checkpoint)
        return Done(
            replace(spent, status="pruned", step=max(seen), metrics=rung_metrics(seen)), None
        )
    except Exception as error:  # noqa: BLE001  # one failed run is one row; the sweep goes on
        said = f"{type(error).__name__}: {error}{advice(error)}"
        return Done(
            replace(_with_time(blank, session, checkpoint), status="error", error=said), None
        )
    metrics = (*record.metrics, *rung_metrics(looks.seen))
    record = _refuse_no_number(replace(record, trial_id=trial_id, metrics=metrics))
    return Done(record, recipe_bytes(model) if record.status == "ok" else None)


def _with_time(record: RunRecord, session: Session, checkpoint: Checkpoint) -> RunRecord:
    """Give the record of a run that did not come to its end with what it took up to now."""
    wall_s = checkpoint.wall_s
    return replace(record, wall_s=wall_s, gpu_s=wall_s if session.vectors.base.is_cuda else 0.0)


def _checkpoint(session: Session, identity: str, states: States | None) -> Checkpoint:
    every_s = session.study.checkpoint_s
    if states is None or every_s is None:
        return Checkpoint.none()
    return Checkpoint(states.read_state(identity), partial(states.write_state, identity), every_s)


def _looks(
    session: Session,
    config: RunConfig,
    observe: Callable[[Progress], None],
    states: States | None,
) -> Looks:
    """Give what sees every step, and ends the run at a rung where others are better.

    Raises:
        PrunedError: an earlier attempt was told to end.
    """
    study, identity = session.study, run_id(session.study, session.digests, config)
    known = states.begin(identity, config) if states else None
    if states is None or known is None or study.asha is None or config.seed != study.seed:
        return Looks(None, {}, lambda _: True, observe)  # a repeat is no trial
    if known.is_pruned:
        raise PrunedError(known.rungs)
    return Looks(study.asha, known.rungs, partial(states.stays, identity), observe)


def _limited(observe: Callable[[Progress], None], study: Study) -> Callable[[Progress], None]:
    """Give ``observe`` for a run that may take ``trial_timeout_s`` from now on."""
    limit_s = study.trial_timeout_s
    end = math.inf if limit_s is None else time.monotonic() + limit_s

    def look(progress: Progress) -> None:
        if time.monotonic() > end:
            raise RunTimeoutError(
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
        tuple(scores_at_rungs(means).items()) if record.status != "error" else (),
    )


def _score(record: RunRecord) -> float | None:
    scores = (m.value for m in record.metrics if m.task == MEAN and m.metric.startswith("score:"))
    return next(scores, None)


def recipe_name(study: str, run_id: str) -> str:
    """Give where a run's recipe lies below the root of the results."""
    return f"_recipes/{study}/{run_id}.safetensors"


def _state_name(study: str, run_id: str) -> str:
    return f"_runs/{study}/{run_id}.safetensors"


class _Attempt(NamedTuple):
    """The last stored attempt at a run, and what tells it from any other."""

    number: int
    trial_id: str = ""
    started_at: datetime | None = None


class Recorder:
    """Writes what runs leave, numbering the attempts at each; the only writer of a sweep.

    It knows no more than what is stored, so that one that is started in place of another goes on
    as that would have.

    Args:
        store: where everything is written.
        study: name of the study.
        rungs: reads where successive halving stands; None: there are no rungs.
        journal: opens what is kept of runs in progress; None: the log alone.
    """

    halted = False
    """Whether runs in progress are to save their state and end."""

    def __init__(
        self,
        store: RunStore,
        study: str,
        rungs: Callable[[], Rungs] | None = None,
        journal: Callable[[], Journal] | None = None,
    ) -> None:
        self._store, self._study, self._rungs = store, study, rungs and rungs()
        self._journal = journal() if journal else Journal(store, study)
        rows = store.records(study)
        self.finished = frozenset(rows.loc[rows["status"] == "ok", "run_id"])
        last = rows.sort_values("attempt").drop_duplicates("run_id", keep="last")
        columns = (last[name] for name in ("attempt", "trial_id", "started_at"))
        attempts = map(_Attempt, *columns)
        self._attempts = dict(zip(last["run_id"], attempts, strict=True))

    def append(self, done: Done) -> None:
        """Store a run's recipe, then its rows: a row never names a recipe that is not there.

        An attempt that is stored already, as by a recorder that died then, is not stored again.
        """
        record = done.record
        last = self._attempts.get(record.run_id, _Attempt(-1))
        if last[1:] != (record.trial_id, record.started_at):
            number = int(last.number) + 1
            if done.recipe is not None:
                self._store.write_file(recipe_name(record.study, record.run_id), done.recipe)
            self._store.append(replace(record, attempt=number), earlier=range(number))
            self._attempts[record.run_id] = _Attempt(number, record.trial_id, record.started_at)
        if record.status != "error":  # a failed run is to go on in the next sweep
            self._store.remove_file(_state_name(self._study, record.run_id))
            remove_unfinished(self._store, self._study, record.run_id)
        self._journal.ended(record)

    def read_state(self, run_id: str) -> bytes:
        """Give what an unfinished run left, nothing if there is none."""
        return self._store.find_file(_state_name(self._study, run_id))

    def write_state(self, run_id: str, content: bytes) -> None:
        """Keep an unfinished run's state, in place of an older one."""
        self._store.write_file(_state_name(self._study, run_id), content)

    def begin(self, run_id: str, config: RunConfig) -> Unfinished:
        """Note that a run is in progress; give what is known of it from earlier attempts."""
        known = find_unfinished(self._store, self._study, run_id)
        self._journal.began(run_id, config.name, again=known is not None)
        if known is None:
            known = Unfinished(config, datetime.now(UTC).isoformat())
            write_unfinished(self._store, self._study, run_id, known)
        return known

    def stays(self, run_id: str, seen: Seen) -> bool:
        """Keep a run's scores at rungs; give whether it goes on from the last one."""
        known = find_unfinished(self._store, self._study, run_id)
        assert known
        assert self._rungs
        stays = self._rungs.stays(known.config.name, run_id, max(seen), seen[max(seen)])
        known = known._replace(rungs=seen, is_pruned=not stays)  # kept before anyone is told
        write_unfinished(self._store, self._study, run_id, known)
        self._journal.looked(run_id, max(seen), seen[max(seen)], stays=stays)
        return stays

    def tell(self, told: Told) -> bool:
        """Take where a run stands; give whether it is to save its state and end."""
        self._journal.told(told)
        return self.halted

    def standings(self) -> dict[str, Standing]:
        """Give where the runs in progress stand, by run id."""
        return self._journal.standings

    def close(self) -> None:
        """Finish what is kept of runs in progress."""
        self._journal.close()

    def halt(self) -> None:
        """Ask the runs in progress to save their state and end."""
        self.halted = True
