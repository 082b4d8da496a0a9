"""Stored runs to compare."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pandas as pd

from distmerge.results import Metric, RunRecord, RunStore
from tests.results.records import RECORD
from tests.spec.hypers import HYPERS

STUDY = RECORD.study


def run(run_id: str, stages: str, score: float | None, *accuracies: float) -> RunRecord:
    """A run with a select score and one accuracy per task."""
    tasks = [Metric("clean", f"task{i}", "accuracy", value) for i, value in enumerate(accuracies)]
    mean = Metric("clean", "mean", "accuracy", sum(accuracies) / len(accuracies))
    select = [] if score is None else [Metric("select", "mean", "score:agreement", score)]
    metrics = (*select, *tasks, mean)
    return replace(RECORD, run_id=run_id, stages=stages, hyper={}, metrics=metrics)


def by_entropy(earlier: RunRecord) -> RunRecord:
    """The same run, started a minute later and scored by entropy."""
    metrics = tuple(
        metric._replace(metric=metric.metric.replace("agreement", "entropy"))
        for metric in earlier.metrics
    )
    later = earlier.started_at + timedelta(minutes=1)
    return replace(earlier, metrics=metrics, started_at=later)


def failed(run_id: str, stages: str, attempt: int = 0) -> RunRecord:
    """A run that went wrong."""
    lost = run(run_id, stages, None, 0.0)
    return replace(lost, attempt=attempt, status="error", error="lr too high", metrics=())


def collapsed(record: RunRecord) -> RunRecord:
    """The same run, of whose 31 classes of task0 two are left."""
    seen = {
        "agreement": 0.5,
        "averaging_agreement": 0.25,
        "marginal_entropy": 0.25,
        "individual_entropy": 0.75,
        "predicted_classes": 2 / 31,
        "individual_classes": 31.0,
    }
    watched = [Metric("adapt", t, name, seen[name]) for t in ("task0", "mean") for name in seen]
    return replace(record, metrics=(*watched, *record.metrics))


PRETRAINED = run("p", "pretrained", None, 0.25, 0.5)
INDIVIDUAL = run("i", "individual", None, 1.0, 0.5)


def rows(folder: Path, *records: RunRecord) -> pd.DataFrame:
    """The rows of the records, by way of real files."""
    store = RunStore(str(folder), HYPERS)
    for record in records:
        store.append(record)
    return store.records(STUDY)
