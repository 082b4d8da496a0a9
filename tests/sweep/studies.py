"""Small studies on the tiny world."""

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from rich.console import Console

from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.spec import ModelFiles, Study

ADAPT = {"adamerging.steps": 12, "adamerging.batch_size": 8, "adamerging.lr": 0.01}
PIPELINES: list[dict[str, Any]] = [
    {"stages": ["weight_averaging"]},
    {"stages": ["task_arithmetic"], "trials": 3},
    {"stages": ["adamerging"], "settings": ADAPT},
    {"stages": ["task_arithmetic", "surgery"], "trials": 2, "settings": {"surgery.steps": 30}},
]
NUM_RUNS = 7
DIVERGING: list[dict[str, Any]] = [
    {
        "stages": ["adamerging"],
        "settings": {**ADAPT, "adamerging.lr": 1e30, "adamerging.projection": "none"},
    },
    {"stages": ["weight_averaging"]},
]


def content_of(files: ModelFiles, storage: Path, **changes: Any) -> dict[str, Any]:
    """Give a study as its file would hold it."""
    models = json.loads(files.model_dump_json())
    base = {"study": "tiny", "models": models, "pipelines": PIPELINES, "block": 16}
    return {**base, "storage": str(storage), **changes}


def study_of(files: ModelFiles, storage: Path, **changes: Any) -> Study:
    """Give a checked study."""
    return Study.model_validate(content_of(files, storage, **changes))


def written(files: ModelFiles, folder: Path, **changes: Any) -> Path:
    """Give the path of a study file."""
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(content_of(files, folder / "results", **changes)))
    return path


def rows_of(study: Study) -> pd.DataFrame:
    """Give the numbers of a study, in an order that does not depend on time."""
    rows = RunStore(study.storage, HYPERS).records(study.study)
    keys = ["method", "run_id", "attempt", "status", "suite", "task", "metric"]
    return rows.sort_values(keys).reset_index(drop=True)[[*keys, "value", "step"]]


def console() -> Console:
    """Give a console that keeps what is printed."""
    return Console(file=io.StringIO(), width=120)
