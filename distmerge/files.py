"""Files that are there whole or not at all, made by one process at a time."""

import fcntl
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a name beside ``path`` to write to; it becomes ``path`` at the end, or is removed.

    Missing folders are made. The name begins with a dot, which readers of a folder skip.

    Raises:
        OSError: the place cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, *, wait_s: float) -> Iterator[None]:
    """Hold a lock that other processes wait for; it goes with its process, however that ends.

    After ``wait_s`` seconds, and where the file system has no locks, it is passed over: what it
    guards is done twice then, so it must be safe without.

    Raises:
        OSError: the place cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_s
    with path.open("ab") as file:
        while not _taken(file) and time.monotonic() < deadline:
            time.sleep(0.1)
        yield


def file_stamp(path: Path) -> list[object]:
    """Give what changes whenever a file is written; the time of change cannot be set back.

    Raises:
        OSError: there is no such file.
    """
    stat = path.stat()
    return [str(path.absolute()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _taken(file: Any) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # no locks here
    return True
