"""A study under a new name that starts with the runs of another which are the same."""

import math
from dataclasses import fields
from typing import Any

import pandas as pd

from distmerge.coordinator import Digests
from distmerge.errors import ConfigError
from distmerge.methods import HYPERS
from distmerge.results import REFERENCES, Metric, RunRecord, RunStore
from distmerge.run import run_id
from distmerge.spec import Choice, Distribution, RunConfig, Study, run_config, search_space
from distmerge.sweep.current import current_config
from distmerge.sweep.trial import recipe_name


def take_over(store: RunStore, parent: str, study: Study, digests: Digests) -> int:
    """Store those finished runs of ``parent`` under ``study`` that it may ask for too; count them.

    Such a run has the same settings, seed, models and images, so its numbers are the same. Those
    that ``study`` has already are left alone.

    Raises:
        ConfigError: there is no such parent.
        ResultsError: the storage cannot be read or written.
    """
    if parent not in store.studies():
        raise ConfigError(f"--fork: study {parent!r} has no rows in {store.place} to start from")
    of_parent = study.model_copy(update={"study": parent})
    known = set(store.finished(study.study)["run_id"])
    taken = 0
    for old, rows in store.finished(parent).groupby("run_id"):
        row = rows.iloc[:1].to_dict("records")[0]
        config = current_config(row, lambda config: run_id(of_parent, digests, config))
        if config is None or config.name in REFERENCES or not _asks_for(study, config):
            continue
        new = run_id(study, digests, config)
        if new not in known:
            recipe = store.read_file(recipe_name(parent, str(old)))
            store.write_file(recipe_name(study.study, new), recipe)
            store.append(_record(rows, row, study=study.study, run_id=new, config=config))
            taken += 1
    return taken


def _asks_for(study: Study, config: RunConfig) -> bool:
    """Whether a search of the study may suggest this run, or repeat it."""
    values = config.values()
    for pipeline in study.alternatives:
        if pipeline.name != config.name or config.seed not in study.seeds:
            continue
        space = search_space(pipeline, HYPERS)
        searched = {key: values[key] for key in space}
        same = run_config(pipeline, searched, config.seed, HYPERS) == config
        return same and all(_contains(space[key], value) for key, value in searched.items())
    return False


def _contains(range_: Distribution, value: Any) -> bool:
    if isinstance(range_, Choice):
        return value in range_.values
    return bool(range_.low <= value <= range_.high)


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
