"""What one process finds out about a task's arrays, so that no other has to read them again."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from distmerge.files import file_stamp, locked, remove_leftovers, whole_file
from distmerge.spec import digest
from distmerge.tasks.listing import writable
from distmerge.tasks.samples import array_digest

_LOCK_WAIT_S = 3600.0  # how long to wait for another process that decodes the same data


class Found(NamedTuple):
    """A task's data as the driver found and checked them."""

    folder: str
    """Name of the folder of arrays."""
    digests: Mapping[str, str]
    """Of the samples of every role."""

    def problems(self, digests: Mapping[str, str]) -> Iterator[str]:
        """Yield the roles whose samples are others here."""
        for role, expected in self.digests.items():
            if digests.get(role) != expected:
                yield f"{role}: digest {digests.get(role, 'none')}, expected {expected}"


def made_once(path: Path, make: Callable[[], None]) -> None:
    """Make a file or folder of the cache that is not there yet, one process at a time.

    Args:
        path: what is to be made.
        make: makes it, whole or not at all.

    Raises:
        DataError: the cache cannot be written.
    """
    if path.exists():
        return
    lock = path.with_name(f".{path.name}.lock")
    with writable(path.parent), locked(lock, wait_s=_LOCK_WAIT_S) as held:
        if not path.exists():  # else another process has made it meanwhile
            remove_leftovers(path, held=held)
            make()


def file_array_digest(path: Path, array: np.ndarray, cache: Path) -> str:
    """Give ``array_digest`` of what was mapped of a file; one that did not change is not read.

    Args:
        path: the file.
        array: all of it, or its beginning.
        cache: folder of what was found out before.
    """
    key = digest([file_stamp(path), list(array.shape), array.dtype.str])
    memory = cache / "digests" / key
    if memory.exists():
        return memory.read_text()
    found = array_digest(array)
    with suppress(OSError), whole_file(memory) as unfinished:  # else it is read again next time
        unfinished.write_text(found)
    return found


def checked_once(key: str, cache: Path, check: Callable[[], None]) -> None:
    """Do a check, unless it found nothing wrong before with the same content.

    Args:
        key: names the check, and by digests the content.
        cache: folder of what was found out before.
        check: raises if something is wrong.
    """
    memory = cache / "digests" / key
    if memory.exists():
        return
    check()
    with suppress(OSError), whole_file(memory) as unfinished:  # else it is done again next time
        unfinished.touch()
