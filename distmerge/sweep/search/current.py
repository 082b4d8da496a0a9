"""Which stored runs are of today's inputs."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pandas as pd

from distmerge.coordinator import Digests
from distmerge.errors import ConfigError
from distmerge.methods import HYPERS
from distmerge.results import REFERENCES
from distmerge.run import reference_config, run_id
from distmerge.spec import Pipeline, RunConfig, Study, run_config

Identify = Callable[[RunConfig], str]


def current_rows(rows: pd.DataFrame, study: Study, digests: Digests) -> pd.DataFrame:
    """Give the rows of runs whose identity follows from the study and its inputs as they are now.

    A study's dataset may hold runs of other seeds, checkpoints or images under the same name.
    """
    identify = partial(run_id, study, digests)
    runs = rows[rows["seed"].between(study.seeds[0], study.seeds[-1])].drop_duplicates("run_id")
    current = [
        row["run_id"]
        for row in runs.to_dict("records")
        if current_config(row, identify) is not None
    ]
    return rows[rows["run_id"].isin(current)]


def current_config(row: Mapping[Any, Any], identify: Identify) -> RunConfig | None:
    """Give a stored run's configuration, None if it is not one of today's inputs."""
    try:
        config = stored_config(row)
    except ConfigError:
        return None
    return config if identify(config) == row["run_id"] else None


def stored_config(row: Mapping[Any, Any]) -> RunConfig:
    """Give a stored run's configuration, its hyperparameters of their own types.

    Raises:
        ConfigError: this version has no such method, or refuses a value.
    """
    method, seed = str(row["method"]), int(row["seed"])
    if method in REFERENCES:
        return reference_config(method, seed)
    stages = tuple(method.split("+"))
    unknown = [stage for stage in stages if stage not in HYPERS]
    if unknown:
        raise ConfigError(f"unknown methods: {', '.join(unknown)}")
    values: dict[str, Any] = {
        f"{stage}.{field}": row[f"{stage}.{field}"]
        for stage in stages
        for field in HYPERS[stage].model_fields
        if pd.notna(row.get(f"{stage}.{field}"))
    }
    return run_config(Pipeline(stages=stages), values, seed, HYPERS)
