"""Stored studies to report on: one with everything, and poorer ones."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import safetensors.numpy

from distmerge.results import Metric, RunRecord, RunStore
from distmerge.spec import Value
from tests.results.records import RECORD
from tests.spec.hypers import HYPERS

STUDY = RECORD.study
TASKS = ("alpha", "beta", "gamma")
COEFFICIENTS = np.arange(12.0).reshape(3, 4) / 10  # task by tensor
TENSORS = ("conv.weight", "norm.bias", "norm.weight", "proj")


def metrics(
    suite: str, name: str, values: Sequence[float], level: str | None = None
) -> Iterator[Metric]:
    """Yield a metric of every task, and its mean."""
    for task, value in zip((*TASKS, "mean"), (*values, sum(values) / len(values)), strict=True):
        yield Metric(suite, task, name, value, level=level)


def accurate(run_id: str, stages: str, value: float, score: float | None = None) -> RunRecord:
    """A run of some accuracy, 0.1 more on the second task, less on corrupted images."""
    values = (value, value + 0.1, value)
    found = [*metrics("clean", "accuracy", values), *metrics("clean", "ece", (0.1, 0.2, 0.3))]
    for i, level in enumerate(("L1", "L2", "L3"), start=1):
        worse = [one * (1 - 0.1 * i) for one in values]
        found += [*metrics("corrupted", "accuracy", worse, level)]
        found += [*metrics("corrupted", "ece", (0.2, 0.3, 0.4), level)]
        # What a corruption does is a row of its own; no section may count it as the level's mean.
        found.append(Metric("corrupted", "mean", "accuracy", 0.01, "noise", i, level))
    found += [Metric("unseen", "delta", "accuracy", value / 2)]
    found += [Metric("unseen", "mean", "accuracy", value / 2)]
    if score is not None:
        found.append(Metric("select", "mean", "score:agreement", score))
    return replace(
        RECORD,
        run_id=run_id,
        stages=stages,
        seed=0,
        hyper={},
        num_tasks=3,
        checkpoint_digests='["c0", "c1", "c2"]',
        wall_s=100 * value,
        metrics=tuple(found),
    )


def learned(run_id: str, value: float, lr: float, seed: int = 0, steps: int = 10) -> RunRecord:
    """A run of ``learner``."""
    made = accurate(run_id, "learner", value, value)
    hyper: dict[str, Value] = {"learner.lr": lr, "learner.steps": steps, "learner.mode": "slow"}
    return replace(made, seed=seed, hyper=hyper)


def routed(run_id: str, value: float) -> RunRecord:
    """A run of a method with a router."""
    made = accurate(run_id, "router", value, value)
    of_router = {
        "routing_accuracy": (0.5, 0.6, 0.7),
        "routing_weight": (0.4, 0.5, 0.6),
        "accuracy_withheld": (0.3, 0.4, 0.5),
        "accuracy_unified": (0.2, 0.3, 0.4),
        "uncertainty_ece": (0.1, 0.1, 0.1),
        "uncertainty_auroc": (0.7, 0.8, 0.9),
    }
    found = (row for name, values in of_router.items() for row in metrics("clean", name, values))
    return replace(made, metrics=(*made.metrics, *found))


REFERENCES = (accurate("i" * 16, "individual", 0.8), accurate("p" * 16, "pretrained", 0.2))
LEARNED = (
    learned("l0", 0.6, 0.01),
    learned("l1", 0.62, 0.01, seed=1),
    learned("l2", 0.5, 0.02),
    learned("l3", 0.4, 0.04, steps=20),
    learned("l4", 0.45, 0.05, steps=20),
)
LOST = (
    replace(learned("e0", 0.0, 0.5), status="error", error="lr <too> high", metrics=()),
    replace(learned("e1", 0.0, 0.6), status="pruned", metrics=()),
)
FULL = (*REFERENCES, *LEARNED, *LOST, routed("r0", 0.7), accurate("a0", "average", 0.3, 0.3))


def stored(root: Path, *records: RunRecord) -> str:
    """Store runs; give where."""
    store = RunStore(str(root), HYPERS)
    for record in records:
        store.append(record)
    return str(root)


def with_recipe(root: str, record: RunRecord, *, is_exported: bool = False) -> None:
    """Store the recipe of a run, and its coefficients by name if it is exported."""
    store = RunStore(root, HYPERS)
    folder = f"{record.study}/{record.run_id}"
    metadata = {"selection": json.dumps({"density": 0.2})}
    content = safetensors.numpy.save({"coefficients": COEFFICIENTS}, metadata)
    store.write_file(f"_recipes/{folder}.safetensors", content)
    if is_exported:
        named = dict(zip(TENSORS, np.ascontiguousarray(COEFFICIENTS.T), strict=True))
        store.write_file(f"_best/{folder}/coefficients.safetensors", safetensors.numpy.save(named))


def full(root: Path) -> str:
    """Store a study that has data for every section; give where."""
    place = stored(root, *FULL)
    with_recipe(place, LEARNED[0])
    return place
