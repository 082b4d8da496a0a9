"""One sweep of every kind of model on the tiny world, and each of its runs as a folder."""

from pathlib import Path
from typing import Any, NamedTuple

from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.spec import ModelFiles, RunConfig
from distmerge.sweep import export_run, run_sweep
from distmerge.sweep.finish import Best
from distmerge.sweep.search.current import stored_config
from tests.sweep.studies import console, study_of

MERGED = ("ties", "weight_averaging+surgery", "tinting", "tinting+surgery")
"""Thinned-out vectors; corrections; own heads; own layers of the tower, corrected."""
ROUTED = "bd_merging"
KINDS = (*MERGED, ROUTED)
ROUTED_SETTINGS = {"head_steps": 5, "warm_up": 20, "views": 1, "steps": 2, "hidden": 8}
_SURGERY = {"surgery.steps": 5, "surgery.rank": 4}
_SETTINGS: dict[str, dict[str, Any]] = {
    "ties": {},
    "weight_averaging+surgery": _SURGERY,
    "tinting": {"tinting.steps": 2},
    "tinting+surgery": {"tinting.steps": 2, "tinting.layer": "mlp.c_proj", **_SURGERY},
    ROUTED: {f"{ROUTED}.{name}": value for name, value in ROUTED_SETTINGS.items()},
}


class Exports(NamedTuple):
    """A swept study and its exported runs, by method."""

    storage: Path
    best: Best
    configs: dict[str, RunConfig]
    runs: dict[str, str]
    folders: dict[str, Path]


def exported(files: ModelFiles, folder: Path) -> Exports:
    """Sweep once with everything in this process, then export every run."""
    pipelines = [{"stages": k.split("+"), "settings": v} for k, v in _SETTINGS.items()]
    study = study_of(files, folder / "results", ray=False, pipelines=pipelines, levels=["L1"])
    result = run_sweep(study, console())
    assert result.best is not None
    rows = RunStore(study.storage, HYPERS).finished("tiny")
    own = rows[rows["method"].isin(KINDS)].drop_duplicates("run_id").set_index("method")
    runs = {str(method): str(run_id) for method, run_id in own["run_id"].items()}
    table = {str(row["method"]): row for row in own.reset_index().to_dict("records")}
    return Exports(
        folder / "results",
        result.best,
        {kind: stored_config(table[kind]) for kind in KINDS},
        runs,
        {
            kind: export_run(runs[kind], study.storage, to=folder / f"model of {kind}")
            for kind in KINDS
        },
    )
