"""Which stored runs are of today's inputs."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from distmerge.coordinator import Digests
from distmerge.errors import ConfigError
from distmerge.methods import HYPERS
from distmerge.methods.contract import PRETRAINED
from distmerge.run import INDIVIDUAL, run_id
from distmerge.spec import Pipeline, Study, Value, run_config


def current_rows(rows: pd.DataFrame, study: Study, digests: Digests) -> pd.DataFrame:
    """Give the rows of runs whose identity follows from the study and its inputs as they are now.

    A study's dataset may hold runs of other seeds, checkpoints or images under the same name.
    """
    runs = rows.drop_duplicates("run_id")
    current = [
        row["run_id"]
        for row in runs.to_dict("records")
        if _identity(row, study, digests) == row["run_id"]
    ]
    return rows[rows["run_id"].isin(current)]


def stored_values(row: Mapping[Any, Any], study: Study) -> dict[str, Value]:
    """Give a stored run's hyperparameters, of their own types.

    Raises:
        ConfigError: this version has no such method, or refuses a value.
    """
    method = str(row["method"])
    if method in {PRETRAINED, INDIVIDUAL}:
        return {}
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
    return run_config(Pipeline(stages=stages), values, study.seed, HYPERS).values()


def _identity(row: Mapping[Any, Any], study: Study, digests: Digests) -> str | None:
    try:
        return run_id(study, digests, str(row["method"]), stored_values(row, study))
    except ConfigError:
        return None
