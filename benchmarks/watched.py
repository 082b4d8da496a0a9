"""A command and all that it starts: how long, how much of the processor, how much memory."""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.clock import ROOT

_EVERY_S = 0.5  # to add up the memory of a process takes it 10 ms
_LIMIT_S = 1800.0


class Seen(NamedTuple):
    """What commands took, all their processes together."""

    wall_s: float
    cpu_s: float
    """Of processes that lived long enough to be seen once."""
    peak_bytes: int
    """Proportional set size: a page that several processes map is counted once."""
    said: tuple[str, ...]
    """By each command."""


def watched(commands: Sequence[Sequence[str]], at_once: int, environment: dict[str, str]) -> Seen:
    """Run commands, so many at a time, and look at all their processes meanwhile.

    Raises:
        CalledProcessError: one fails; what it said is shown.
        TimeoutExpired: they take longer than half an hour.
    """
    start, used, peak = time.perf_counter(), dict[int, float](), 0
    left, running, said = list(commands), list[subprocess.Popen[str]](), list[str]()
    try:
        while left or running:
            while left and len(running) < at_once:
                running.append(_started(left.pop(0), environment))
            peak = max(peak, sum(_look(process.pid, used) for process in running))
            time.sleep(_EVERY_S)
            for process in [process for process in running if process.poll() is not None]:
                running.remove(process)
                said.append(_said(process))
            if time.perf_counter() - start > _LIMIT_S:
                raise subprocess.TimeoutExpired(running[0].args if running else "", _LIMIT_S)
    finally:
        for process in running:
            process.terminate()
            process.wait(timeout=60)
    return Seen(time.perf_counter() - start, sum(used.values()), peak, tuple(said))


def _started(command: Sequence[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    everything = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.Popen(  # noqa: S603  # our own
        command, env=everything, stdout=subprocess.PIPE, text=True
    )


def _said(process: subprocess.Popen[str]) -> str:
    text, _ = process.communicate(timeout=60)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args, text)
    return text


def _look(root: int, used: dict[int, float]) -> int:
    """Give the bytes of a process and of all below it; note what they used of the processor."""
    facts = {int(path.parent.name): _facts(path) for path in Path("/proc").glob("[0-9]*/stat")}
    parents = {pid: int(fields[1]) for pid, fields in facts.items() if fields}
    held = 0
    for pid in [pid for pid in parents if root in _line(pid, parents)]:
        used[pid] = sum(map(int, facts[pid][11:13])) / os.sysconf("SC_CLK_TCK")
        held += _proportional(pid)
    return held


def _facts(path: Path) -> list[str]:
    """Give the fields of a process after its name; none of one that has ended."""
    try:
        return path.read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _line(pid: int, parents: dict[int, int]) -> Iterator[int]:
    """Yield a process, its parent, and so on."""
    while pid in parents:
        yield pid
        pid = parents[pid]


def _proportional(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended meanwhile
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
