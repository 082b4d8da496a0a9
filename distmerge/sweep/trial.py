"""One run as a sweep does it: an error becomes a row, the sweep goes on."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from distmerge.coordinator import Progress, recipe_bytes
from distmerge.evaluation import MEAN
from distmerge.results import RunRecord, RunStore, suspicions
from distmerge.run import Session, named_record, run
from distmerge.spec import RunConfig
from distmerge.sweep.board import Ended


class Done(NamedTuple):
    """A run's record, and its model as a recipe; no recipe for a run that failed."""

    record: RunRecord
    recipe: bytes | None


def unobserved(_progress: Progress) -> None:
    """Show nothing: the board of a cluster shows runs, not steps."""


def attempt(
    session: Session,
    config: RunConfig,
    trial_id: str,
    observe: Callable[[Progress], None] = unobserved,
) -> Done:
    """Give what a run leaves, whatever happens in it."""
    started_at, start = datetime.now(UTC), time.perf_counter()
    try:
        model, record = run(session, config, observe)
    except Exception as error:  # noqa: BLE001  # one failed run is one row; the sweep goes on
        failed = replace(
            named_record(session, config),
            trial_id=trial_id,
            status="error",
            error=f"{type(error).__name__}: {error}",
            wall_s=time.perf_counter() - start,
            started_at=started_at,
        )
        return Done(failed, None)
    return Done(replace(record, trial_id=trial_id), recipe_bytes(model))


def ended(record: RunRecord) -> Ended:
    """Give what the search and the board need to know of a record."""
    means = {(m.suite, m.metric): m.value for m in record.metrics if m.task == MEAN}
    return Ended(
        next((value for (_, name), value in means.items() if name.startswith("score:")), None),
        means.get(("clean", "accuracy")),
        record.wall_s,
        record.error,
        ", ".join(suspicions(record.metrics)),
    )


def recipe_name(study: str, run_id: str) -> str:
    """Give where a run's recipe lies below the root of the results."""
    return f"_recipes/{study}/{run_id}.safetensors"


class Recorder:
    """Writes what runs leave, numbering the attempts at each; the only writer of a sweep."""

    def __init__(self, store: RunStore, study: str) -> None:
        self._store = store
        rows = store.records(study)
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
