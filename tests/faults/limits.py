"""Limits of a running process, set from outside as a small machine would set them."""

import resource
import time
from pathlib import Path

_UNLIMITED = resource.RLIM_INFINITY


def leave_no_memory(pid: int) -> float:
    """Let a process have no more memory than it has; give the time."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    size = pages * resource.getpagesize()
    resource.prlimit(pid, resource.RLIMIT_AS, (size, _UNLIMITED))
    return time.time()


def leave_no_room(pid: int, size_bytes: int) -> float:
    """Let a process write ``size_bytes`` to a file and fail from there on; give the time.

    Linux gives the same short write as on a full disk, then EFBIG in place of ENOSPC: this needs
    no file system of its own, and so no privilege.
    """
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes, _UNLIMITED))
    return time.time()
