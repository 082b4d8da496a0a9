"""What a call or a command costs."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
_REPEATS = 5
_SHOWN = 4000  # last characters of what a command that fails has said
# A small process starts the command: a child's peak memory is at least that of who starts it.
_MEASURED = """
import json, os, subprocess, sys, time
start = time.perf_counter()
command = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(command.pid, 0)
wall, cpu = time.perf_counter() - start, usage.ru_utime + usage.ru_stime
print(json.dumps([wall, cpu, 1024 * usage.ru_maxrss]))
sys.exit(os.waitstatus_to_exitcode(status))
"""


class Cost(NamedTuple):
    """What one command took, start-up included."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


def seconds(call: Callable[[], object]) -> float:
    """Give the seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def median(call: Callable[[], object], repeats: int = _REPEATS) -> float:
    """Give the median seconds of a call, after one that is not counted."""
    call()
    return sorted(seconds(call) for _ in range(repeats))[repeats // 2]


def medians(
    *calls: Callable[[], object], repeats: int = _REPEATS, warm: bool = True
) -> tuple[float, ...]:
    """Give the median seconds of several calls that take turns, so that all meet the same load."""
    for call in calls if warm else ():
        call()
    rounds = [[seconds(call) for call in calls] for _ in range(repeats)]
    return tuple(sorted(column)[repeats // 2] for column in zip(*rounds, strict=True))


def cost(command: Sequence[str], environment: dict[str, str] | None = None) -> Cost:
    """Give what a command takes; our packages are importable in it.

    Raises:
        CalledProcessError: it fails; a note has the end of what it said.
        TimeoutExpired: it takes longer than ten minutes.
    """
    everything = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
    start = [sys.executable, "-c", _MEASURED, *command]
    done = subprocess.run(  # noqa: S603  # our own
        start, check=False, capture_output=True, text=True, env=everything, timeout=600
    )
    if done.returncode:
        error = subprocess.CalledProcessError(done.returncode, list(command))
        error.add_note(done.stderr[-_SHOWN:])
        raise error
    return Cost(*json.loads(done.stdout))
