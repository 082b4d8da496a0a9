"""What earlier runs tell a search."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd

from distmerge.coordinator import IMAGES_DRAWN
from distmerge.errors import ConfigError
from distmerge.evaluation import MEAN, score_metric
from distmerge.methods import HYPERS
from distmerge.results import ADAPT, RunStore, last_attempts
from distmerge.spec import RunConfig, Study
from distmerge.sweep.search.current import Identify, current_config, stored_config
from distmerge.sweep.search.unfinished import Unfinished, all_unfinished

RUNG = "rung:"
"""Metric of a look that successive halving takes: this, then the run's optimiser steps."""


class PastRun(NamedTuple):
    """A run that need not be done again, merely informs a search, or is to go on."""

    run_id: str
    config: RunConfig
    score: float | None
    """On the select images; None for a run that was ended early, or is to go on."""
    cost: float
    """Adapt images drawn."""
    rungs: Mapping[int, float]
    """Scores on adapt images, by step."""
    warm: bool
    """Whether it is of an earlier study."""
    unfinished: bool = False
    """Whether it was interrupted or failed, so that it is to be asked for again."""


class StoredRows(NamedTuple):
    """Rows of a study, and of those that its search starts from; runs without a row that counts."""

    own: pd.DataFrame
    warm: pd.DataFrame
    unfinished: Mapping[str, Unfinished]


def stored_rows(store: RunStore, study: Study) -> StoredRows:
    """Give the rows of all runs that a search counts or learns from.

    Raises:
        ConfigError: a study that ``warm_start`` names has no results.
        ResultsError: the storage cannot be read.
    """
    own = last_attempts(store.records(study.study))
    parts = [rows for entry in study.warm_start for rows in _warm(store, entry)]
    warm = pd.concat(parts, ignore_index=True) if parts else own[:0]
    ended = own.loc[own["status"] != "error", "run_id"]
    unfinished = all_unfinished(store, study.study, set(ended))
    return StoredRows(own, warm[~warm["run_id"].isin(own["run_id"])], unfinished)


def past_runs(rows: StoredRows, study: Study, identify: Identify) -> tuple[PastRun, ...]:
    """Give the runs of today's pipelines: of earlier studies, of this one, and that are to go on.

    Oldest first.
    Of this study count runs of today's inputs that ended well or, with ``asha``, early. Of earlier
    ones all that ended well count, on whatever inputs.
    """
    own = _runs(rows.own, study, lambda row: current_config(row, identify), warm=False)
    names = {pipeline.name for pipeline in study.alternatives}
    unfinished = (
        PastRun(run_id, run.config, None, 0.0, run.rungs, warm=False, unfinished=True)
        for run_id, run in rows.unfinished.items()
        if run.config.name in names and identify(run.config) == run_id
    )
    return (*_runs(rows.warm, study, _any_config, warm=True), *own, *unfinished)


def _warm(store: RunStore, entry: str) -> Iterator[pd.DataFrame]:
    """Yield the rows that an entry of ``warm_start`` names.

    Raises:
        ConfigError: there are none.
    """
    elsewhere = "/" in entry
    place = RunStore(entry, HYPERS) if elsewhere else store
    known = place.studies()
    wanted = known if elsewhere else [entry]
    if not wanted or not set(wanted) <= set(known):
        raise ConfigError(
            f"warm_start: no results of {entry!r}; {place.place} has: {', '.join(known) or 'none'};"
            " a folder is written with a slash, as ./results"
        )
    for name in wanted:
        yield place.finished(name)


def _runs(
    rows: pd.DataFrame,
    study: Study,
    config_of: Callable[[Mapping[Any, Any]], RunConfig | None],
    *,
    warm: bool,
) -> Iterator[PastRun]:
    counted = {"ok", "pruned"} if study.asha and not warm else {"ok"}
    names = {pipeline.name for pipeline in study.alternatives}
    means = rows[
        rows["status"].isin(counted) & rows["method"].isin(names) & (rows["task"] == MEAN)
    ].sort_values(["started_at", "run_id"], kind="stable")
    score, cost = ("select", score_metric(study.select)), (ADAPT, IMAGES_DRAWN)
    for run_id, run in means.groupby("run_id", sort=False):
        config = config_of(run.iloc[0].to_dict())
        values = dict(zip(zip(run["suite"], run["metric"], strict=True), run["value"], strict=True))
        pruned = run["status"].iloc[0] == "pruned"
        if config is None or (score not in values and not pruned):
            continue
        found, rungs = None if pruned else float(values[score]), scores_at_rungs(values)
        yield PastRun(str(run_id), config, found, float(values.get(cost, 0)), rungs, warm)


def scores_at_rungs(values: Mapping[tuple[str, str], float]) -> dict[int, float]:
    """Give a run's scores at rungs, by step, of its means by suite and metric."""
    return {
        int(name.removeprefix(RUNG)): float(value)
        for (_, name), value in values.items()
        if name.startswith(RUNG)
    }


def _any_config(row: Mapping[Any, Any]) -> RunConfig | None:
    """Give a stored run's configuration, None if this version cannot read it."""
    try:
        return stored_config(row)
    except ConfigError:
        return None
