"""Commands that answer at once, each in a process of its own, beside importing torch alone."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.towers import VIT_B_32
from distmerge.spec import Pipeline, Study
from tests.sweep.headers import write_sparse

NUM_TASKS = 8
_SWEEP = str(Path(__file__).parents[1] / "jobs" / "sweep.py")


class Result(NamedTuple):
    """Seconds of one command, start-up included."""

    name: str
    wall_s: float
    cpu_s: float
    limit_s: float
    """The target; zero: none, it is what the others are measured against."""


def measure() -> list[Result]:
    """Give the times of a plan for eight full-size ViT-B/32 and of the help page.

    The checkpoints are sparse: real headers, no bytes on the disk.

    Raises:
        CalledProcessError: a command fails.
    """
    with tempfile.TemporaryDirectory(prefix="distmerge-plan-") as name:
        folder = Path(name)
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
        environment = {**os.environ, "DISTMERGE_CACHE": str(folder / "cache")}
        return [
            _timed("import torch", ["-c", "import torch"], environment),
            _timed("--plan", [_SWEEP, str(path), "--plan"], environment, limit_s=5.0),
            _timed("--help", ["-m", "distmerge.cli", "--help"], environment, limit_s=1.0),
        ]


def _timed(
    name: str, arguments: Sequence[str], environment: dict[str, str], *, limit_s: float = 0.0
) -> Result:
    start, before = time.perf_counter(), _children_s()
    command = [sys.executable, *arguments]
    subprocess.run(command, check=True, capture_output=True, env=environment, timeout=60)  # noqa: S603  # our own
    return Result(name, time.perf_counter() - start, _children_s() - before, limit_s)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
