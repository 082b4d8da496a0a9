"""Files that are there whole or not at all, made by one process at a time."""

import fcntl
import glob
import logging
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_QUIET_S = 5.0  # a wait that takes longer is logged
_WAITING = "waiting for %s, which holds %s and makes what is needed here; for %.0f s at most"


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
def locked(path: Path, *, wait_s: float) -> Iterator[bool]:
    """Hold a lock that other processes wait for; it goes with its process, however that ends.

    Gives whether it is held for sure. A wait of some seconds is logged, with who is waited for.
    After ``wait_s`` seconds, and where the file system has no locks, it is passed over: what it
    guards is done twice then, so it must be safe without.

    Raises:
        OSError: the place cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    start, quiet_s = time.monotonic(), _QUIET_S
    with path.open("a+b") as file:
        while (held := _taken(file)) is False and (waited_s := time.monotonic() - start) < wait_s:
            if waited_s >= quiet_s:
                logging.getLogger(__name__).warning(_WAITING, _holder(file), path, wait_s)
                quiet_s = wait_s  # once is enough
            time.sleep(0.1)
        if held and path.is_file():
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
            file.flush()
        yield bool(held)


def remove_leftovers(path: Path, *, held: bool) -> None:
    """Remove what killed processes left of making a file or folder: ``.NAME.*`` beside it.

    Args:
        path: what they were making.
        held: whether this process holds its lock; without, what is there may be in the making.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*") if held else ():
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        elif left.suffix != ".lock":
            left.unlink(missing_ok=True)


def file_stamp(path: Path) -> list[object]:
    """Give what changes whenever a file is written; the time of change cannot be set back.

    Raises:
        OSError: there is no such file.
    """
    stat = path.stat()
    return [str(path.absolute()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _taken(file: Any) -> bool | None:
    """Whether the lock is taken now; None: there are no locks here."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _holder(file: Any) -> str:
    file.seek(0)
    return file.read().decode(errors="replace") or "another process"
