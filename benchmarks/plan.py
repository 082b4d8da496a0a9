"""Commands that answer at once, each in a process of its own, against the seconds asked."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.clock import ROOT, cost
from benchmarks.rows import Row
from benchmarks.towers import VIT_B_32
from distmerge.spec import Pipeline, Study
from tests.sweep.headers import write_sparse

NUM_TASKS = 8


def start_up() -> Iterator[Row]:
    """Yield the times of a plan for eight full-size ViT-B/32 and of the help page.

    The checkpoints are sparse: real headers, no bytes on the disk. Of each command the second call
    counts: the first one reads its modules from the disk.

    Raises:
        CalledProcessError: a command fails.
    """
    with tempfile.TemporaryDirectory(prefix="distmerge-plan-") as place:
        folder = Path(place)
        study = Study(
            study="plan",
            models=write_sparse(folder, VIT_B_32, num_tasks=NUM_TASKS),
            pipelines=(
                Pipeline(stages=("task_arithmetic",), trials=5),
                Pipeline(stages=("adamerging", "surgery"), trials=20),
            ),
            storage=str(folder / "results"),
        )
        path = folder / "study.yaml"
        path.write_text(study.model_dump_json())  # JSON is YAML
        environment = {"DISTMERGE_CACHE": str(folder / "cache")}
        for name, arguments, limit_s in (
            ("import torch", ["-c", "import torch"], None),
            ("distmerge --plan", [str(ROOT / "jobs" / "sweep.py"), str(path), "--plan"], 5.0),
            ("distmerge --help", ["-m", "distmerge.cli", "--help"], 1.0),
        ):
            took = [cost([sys.executable, *arguments], environment) for _ in range(2)][1]
            target = None if limit_s is None else 1.0
            note = f"{took.cpu_s:.2f} s of the processor"
            peak = took.peak_bytes
            yield Row(
                name, took.wall_s, limit_s=limit_s, target=target, ours_peak_bytes=peak, note=note
            )
