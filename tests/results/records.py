"""Records of runs to store, and how a separate process stores them."""

import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count

from distmerge.results import Metric, RunRecord, RunStore
from tests.spec.hypers import HYPERS

RECORD = RunRecord(
    run_id="0123456789abcdef",
    study="quick-start",
    stages="learner+fixer",
    seed=3,
    trial_id="trial_00001",
    attempt=0,
    status="ok",
    error=None,
    protocol="disjoint",
    step=20,
    num_tasks=2,
    backbone="ViT-16-2x16",
    base_digest="ba5e",
    checkpoint_digests='["c0", "c1"]',
    data_digest="da7a",
    bank="float32",
    precision="float32",
    adapt_images=80,
    wall_s=1.5,
    gpu_s=0.0,
    peak_memory_bytes=2**33,
    started_at=datetime(2026, 11, 22, 1, 2, 3, 456789, tzinfo=UTC),
    package_version="0.1.0",
    git_commit=None,
    torch_version="2.14.1",
    hyper={
        "learner.lr": 0.01,
        "learner.steps": 20,
        "learner.mode": "slow",
        "learner.clamp": False,
        "fixer.rank": 4,
    },
    metrics=(
        Metric("clean", "alpha", "accuracy", 0.75),
        Metric("clean", "beta", "accuracy", 0.25),
        Metric("clean", "mean", "accuracy", 0.5),
        Metric("corrupted", "alpha", "accuracy", 0.125, "noise", 3, "L2"),
    ),
)
FAILED = replace(RECORD, status="error", error="lr too high", metrics=())


def append_all(root: str, run_ids: Iterable[str]) -> None:
    """Store one record per run id; the shared run fails before it ends well."""
    store = RunStore(root, HYPERS)
    for run_id in run_ids:
        if run_id == "shared":
            store.append(replace(FAILED, run_id=run_id, attempt=1))
        store.append(replace(RECORD, run_id=run_id))


def main(root: str, writer: str, runs: str) -> None:
    """Store ``runs`` runs (0: until killed), of which run ``shared`` belongs to every writer."""
    numbers = range(int(runs)) if int(runs) else count()
    append_all(root, ("shared" if i % 5 == 0 else f"{writer}{i}" for i in numbers))


if __name__ == "__main__":
    main(*sys.argv[1:])
