"""Ray's worker processes, found by name among the descendants of this process."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

TRIAL = ".train"  # what a trial's process does while its run is in progress
TASK_ACTOR = "TaskWorker"


def children_of_this_process(name: str) -> list[int]:
    """Give the process ids of Ray's workers with ``name`` in their title, oldest first."""
    parents, found = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # a process may end while we look
            pid = int(folder.name)
            parents[pid] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            title = (folder / "cmdline").read_bytes()
            if title.startswith(b"ray::") and name.encode() in title:
                found.append(pid)
    return sorted(pid for pid in found if os.getpid() in _ancestors(pid, parents))


def _ancestors(pid: int, parents: dict[int, int]) -> Iterator[int]:
    while pid in parents:
        pid = parents[pid]
        yield pid
