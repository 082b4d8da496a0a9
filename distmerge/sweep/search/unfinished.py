"""Runs that were asked for and have not ended well: one small file each, beside their states."""

import json
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.spec import Pipeline, RunConfig, run_config


class Unfinished(NamedTuple):
    """What is known of such a run."""

    config: RunConfig
    asked_at: str
    """In UTC, as ISO 8601 writes it."""
    rungs: Mapping[int, float] = {}
    """Scores on adapt images at the rungs that it reached, by step."""
    is_pruned: bool = False
    """Whether it was told to end at the last of them; its row is still missing."""


def plain_run(config: RunConfig) -> dict[str, Any]:
    """Give a run as plain values, which JSON and Tune take."""
    stages = [stage.method for stage in config.stages]
    return {"stages": stages, "values": config.values(), "seed": config.seed}


def run_of(plain: Mapping[str, Any]) -> RunConfig:
    """Give the run that ``plain_run`` gave the values of.

    Raises:
        ConfigError: this version refuses a value.
    """
    pipeline = Pipeline(stages=plain["stages"])
    return run_config(pipeline, plain["values"], plain["seed"], HYPERS)


def find_unfinished(store: RunStore, study: str, run_id: str) -> Unfinished | None:
    """Give what is known of a run; None if nothing is, or another version wrote it.

    Raises:
        ResultsError: the storage cannot be read.
    """
    content = store.find_file(_name(study, run_id))
    try:
        found = json.loads(content)
        rungs = {int(step): float(score) for step, score in found["rungs"].items()}
        return Unfinished(run_of(found), found["asked_at"], rungs, found["is_pruned"])
    except (ValueError, KeyError, TypeError):
        return None


def write_unfinished(store: RunStore, study: str, run_id: str, run: Unfinished) -> None:
    """Keep what is known of a run, in place of what was.

    Raises:
        ResultsError: the storage cannot be written.
    """
    known = {"asked_at": run.asked_at, "rungs": dict(run.rungs), "is_pruned": run.is_pruned}
    content = json.dumps({**plain_run(run.config), **known}).encode()
    store.write_file(_name(study, run_id), content)


def remove_unfinished(store: RunStore, study: str, run_id: str) -> None:
    """Forget a run that has ended.

    Raises:
        ResultsError: the storage cannot be written.
    """
    store.remove_file(_name(study, run_id))


def all_unfinished(
    store: RunStore, study: str, ended: Collection[str] = ()
) -> dict[str, Unfinished]:
    """Give the unfinished runs of a study by run id, in the order in which they were asked for.

    Args:
        store: where they lie.
        study: its name.
        ended: runs that are not looked for; on S3 an empty file is left of each.

    Raises:
        ResultsError: the storage cannot be read.
    """
    names = [name for name in store.file_names(f"_runs/{study}") if name.endswith(".json")]
    run_ids = {name.removesuffix(".json") for name in names if not name.startswith(".")}
    looked_at = {key: find_unfinished(store, study, key) for key in sorted(run_ids - set(ended))}
    found = {key: run for key, run in looked_at.items() if run is not None}
    return dict(sorted(found.items(), key=lambda item: item[1].asked_at))


def _name(study: str, run_id: str) -> str:
    return f"_runs/{study}/{run_id}.json"
