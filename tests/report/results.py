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
BLOCKS = ("stem", "block.0", "block.0", "final")
STEPS = 4  # of which a point is kept, in the pictures of a run


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


def pictures(*, is_routed: bool = False, lost: tuple[str, ...] = ()) -> bytes:
    """Give what a run kept for its report: learned and corrected, or routed.

    Features of the tasks in ``lost`` were not finite.
    """
    grid = np.arange(20.0).reshape(10, 2) / 10
    tensors: dict[str, np.ndarray] = {"calibration.report": np.tile([4.0, 0.5, 0.4], (15, 1))}
    for number, task in enumerate(TASKS):
        kinds = 2 if is_routed else 3
        tensors[f"points.{task}"] = np.stack([grid + kind + number for kind in range(kinds)])
        tensors[f"distance.{task}"] = np.array([0.4, 0.2][: kinds - 1])
        if is_routed:
            tensors[f"sent.{task}"] = np.roll([0.8, 0.2, 0.0], number)
            tensors[f"weights.{task}"] = np.roll([[0.7, 0.2, 0.1], [0.1, 0.1, 0.0]], number, axis=1)
            tensors[f"routing.{task}"] = np.tile(np.roll([0.7, 0.2, 0.1], number), (6, 1))
        else:
            tensors[f"layers.{task}"] = np.array([0.1, 0.2 + number / 10])
        for kind in ("points", "distance", "layers") if task in lost else ():
            tensors[f"{kind}.{task}"] = np.full_like(tensors[f"{kind}.{task}"], np.nan)
    problems: list[dict[str, object]] = []
    if is_routed:
        tensors["uncertainty.report"] = np.array([[4.0, 0.5, 0.4], [0.0, np.nan, np.nan]] * 7)
    else:
        points = np.arange(STEPS) * 10
        values = np.stack([COEFFICIENTS * point / 30 for point in points])
        numbers: dict[str, np.ndarray] = {"steps": points.astype(np.int32), "coefficients": values}
        numbers |= {"losses": np.array([2.0, 1.5, 1.0, np.nan])}
        numbers |= {"check_steps": np.array([10, 20], np.int32), "scores": np.array([0.5, 0.6])}
        tensors |= {f"trace.0.{name}": array for name, array in numbers.items()}
        problems.append({"problem": "coefficients", "before": 0, "groups": TENSORS})
    plain: dict[str, np.ndarray] = {
        k: v.astype(np.float32) if v.dtype == float else v for k, v in tensors.items()
    }
    texts = {"problems": problems, "tasks": TASKS, "unseen": []}
    metadata = {name: json.dumps(text) for name, text in texts.items()}
    content: bytes = safetensors.numpy.save(plain, metadata)
    return content


def with_recipe(
    root: str, record: RunRecord, *, is_exported: bool = False, is_named: bool = False
) -> None:
    """Store the recipe of a run, and its coefficients by name if it is exported."""
    store = RunStore(root, HYPERS)
    folder = f"{record.study}/{record.run_id}"
    metadata = {"selection": json.dumps({"density": 0.2})}
    if is_named:
        metadata |= {"tensors": json.dumps(TENSORS), "blocks": json.dumps(BLOCKS)}
    content = safetensors.numpy.save({"coefficients": COEFFICIENTS}, metadata)
    store.write_file(f"_recipes/{folder}.safetensors", content)
    if is_exported:
        named = dict(zip(TENSORS, np.ascontiguousarray(COEFFICIENTS.T), strict=True))
        store.write_file(f"_best/{folder}/coefficients.safetensors", safetensors.numpy.save(named))


def full(root: Path) -> str:
    """Store a study that has data for every section; give where."""
    kept = {LEARNED[0].run_id: pictures(), "r0": pictures(is_routed=True)}
    records = (replace(record, pictures=kept.get(record.run_id, b"")) for record in FULL)
    place = stored(root, *records)
    with_recipe(place, LEARNED[0], is_named=True)
    return place
