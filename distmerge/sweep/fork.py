"""A study under a new name that starts with the runs of another which are the same."""

import math
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any, NamedTuple

import pandas as pd

from distmerge.coordinator import Digests
from distmerge.errors import ConfigError
from distmerge.methods import HYPERS
from distmerge.results import REFERENCES, Metric, RunRecord, RunStore, picture_name
from distmerge.run import run_id
from distmerge.spec import RunConfig, Study, search_space
from distmerge.sweep.search.current import current_config
from distmerge.sweep.search.history import StoredRows
from distmerge.sweep.search.samplers import may_suggest
from distmerge.sweep.trial import recipe_name


def check_parent(store: RunStore, parent: str) -> None:
    """Check that there are rows to start from.

    Raises:
        ConfigError: there are none.
        ResultsError: the storage cannot be read.
    """
    if parent not in store.studies():
        raise ConfigError(f"--fork: study {parent!r} has no rows in {store.place} to start from")


def take_over(store: RunStore, parent: str, study: Study, digests: Digests) -> int:
    """Store those finished runs of ``parent`` under ``study`` that it may ask for too; count them.

    Such a run has the same settings, seed, models and images, so its numbers are the same. Those
    that ``study`` has already are left alone.

    Raises:
        ResultsError: the storage cannot be read or written.
    """
    own = store.records(study.study)
    known = set(own.loc[own["status"] == "ok", "run_id"])
    attempts = own.groupby("run_id")["attempt"].max()
    taken = 0
    for old, new, config, rows in _same_runs(store, parent, study, digests):
        if new not in known:
            recipe = store.read_file(recipe_name(parent, old))
            store.write_file(recipe_name(study.study, new), recipe)
            row = rows.iloc[:1].to_dict("records")[0]
            # equal, where the row is not older than the columns
            row |= {"bank": digests.bank, "precision": study.precision}
            record = _record(rows, row, study=study.study, run_id=new, config=config)
            record = replace(record, pictures=store.find_file(picture_name(parent, old)))
            store.append(record, earlier=range(int(attempts.get(new, -1)) + 1))
            taken += 1
    return taken


def with_taken(
    rows: StoredRows, store: RunStore, parent: str, study: Study, digests: Digests | None
) -> tuple[StoredRows, str]:
    """Give the rows as ``take_over`` would leave them, and what it would do, for people.

    Without digests nothing is known of it.

    Raises:
        ConfigError: there is no such parent.
        ResultsError: the storage cannot be read.
    """
    check_parent(store, parent)
    if digests is None:
        return rows, f"runs taken over from {parent}: unknown (no sweep has read these files yet)"
    known = set(rows.own.loc[rows.own["status"] == "ok", "run_id"])
    taken = [
        same.rows.assign(study=study.study, run_id=same.new)
        for same in _same_runs(store, parent, study, digests)
        if same.new not in known
    ]
    parts = [part for part in (rows.own, *taken) if not part.empty]
    own = pd.concat(parts, ignore_index=True) if parts else rows.own
    return rows._replace(own=own), f"runs taken over from {parent}: {len(taken)}"


class _Same(NamedTuple):
    old: str
    new: str
    config: RunConfig
    rows: pd.DataFrame


def _same_runs(store: RunStore, parent: str, study: Study, digests: Digests) -> Iterator[_Same]:
    """Yield the finished runs of ``parent`` that ``study`` may ask for too."""
    of_parent = study.model_copy(update={"study": parent})
    for old, rows in store.finished(parent).groupby("run_id"):
        row = rows.iloc[:1].to_dict("records")[0]
        config = current_config(row, lambda config: run_id(of_parent, digests, config))
        if config is not None and config.name not in REFERENCES and _asks_for(study, config):
            yield _Same(str(old), run_id(study, digests, config), config, rows)


def _asks_for(study: Study, config: RunConfig) -> bool:
    """Whether a search of the study may suggest this run, or repeat it."""
    if config.seed not in study.seeds:
        return False
    return any(
        may_suggest(pipeline, search_space(pipeline, HYPERS), config, HYPERS)
        for pipeline in study.alternatives
        if pipeline.name == config.name
    )


def _record(
    rows: pd.DataFrame, row: dict[Any, Any], *, study: str, run_id: str, config: RunConfig
) -> RunRecord:
    """Give a stored run's record under another name."""
    names = Metric._fields
    metrics = tuple(
        Metric(**{name: _plain(name, each[name]) for name in names})
        for each in rows[list(names)].astype(object).to_dict("records")
    )
    kept = [field.name for field in fields(RunRecord) if field.name in row]
    plain = {name: _plain(name, row[name]) for name in kept}
    changed = {
        "study": study,
        "run_id": run_id,
        "stages": config.name,
        "hyper": config.values(),
        "metrics": metrics,
        "attempt": 0,
        "status": "ok",
    }
    return RunRecord(**{**plain, **changed})


def _plain(name: str, value: Any) -> Any:
    """Give a cell's value; pandas makes a column of whole numbers with gaps one of floats."""
    if pd.isna(value):
        return math.nan if name == "value" else None
    return int(value) if name == "severity" else value
