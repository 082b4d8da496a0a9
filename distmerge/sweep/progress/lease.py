"""One driver at a time per study: who runs it says so in the storage, and keeps saying so."""

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

from pydantic import ValidationError

from distmerge.errors import ResultsError
from distmerge.results import RunStore
from distmerge.spec import Frozen

STALE_S = 60.0
"""A holder that has not said so for so long is gone."""
_BEAT_S = 10.0
_SETTLE_S = 0.1  # of two that start at the same moment both have written by then


class Holder(Frozen):
    """A driver that runs a study."""

    token: str
    host: str
    pid: int
    since: datetime
    seen: datetime
    """When it last said that it is there, by its own clock."""

    @classmethod
    def here(cls) -> "Holder":
        """Give this process."""
        now = datetime.now(UTC)
        return cls(
            token=uuid.uuid4().hex, host=socket.gethostname(), pid=os.getpid(), since=now, seen=now
        )

    def is_gone(self) -> bool:
        """Whether its process has ended, as far as that can be told from here."""
        if (datetime.now(UTC) - self.seen).total_seconds() > STALE_S:
            return True
        return self.host == socket.gethostname() and not _runs(self.pid)


def refuse_second(store: RunStore, study: str, own: Holder | None = None) -> None:
    """Refuse to run a study that another driver runs.

    Raises:
        ResultsError: another driver runs it, or the storage cannot be read.
    """
    found = find_holder(store, study)
    if found is None or found.is_gone() or (own and found.token == own.token):
        return
    silent_s = (datetime.now(UTC) - found.seen).total_seconds()
    raise ResultsError(
        f"study {study} in {store.place} is being run by process {found.pid} on {found.host} since "
        f"{found.since:%Y-%m-%d %H:%M:%S} UTC (seen {silent_s:.0f} s ago); wait for it or stop it. "
        f"If it was killed, its hold ends {STALE_S:g} s after it was last seen"
    )


@contextmanager
def lease(store: RunStore, study: str) -> Iterator[None]:
    """Hold a study, and renew that in a thread, until the end.

    It spares a second driver the work of the first; that no run is lost or counted twice does not
    rest on it: every attempt is a file of its own, and of a run's attempts readers count one.
    Clocks should agree within seconds.

    Raises:
        ResultsError: another driver runs the study, or the storage cannot be read or written.
    """
    own = Holder.here()
    refuse_second(store, study)
    _write(store, study, own)
    time.sleep(_SETTLE_S)
    refuse_second(store, study, own)
    ended, brief = threading.Event(), replace(store, patience_s=0.0)  # it is said again soon
    beat = threading.Thread(target=_renew, args=(brief, study, own, ended), daemon=True)
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join(_BEAT_S)
        with suppress(ResultsError):  # it goes stale by itself, and hides no other error
            if _is_held_by(brief, study, own):
                brief.remove_file(_name(study))


def _renew(store: RunStore, study: str, own: Holder, ended: threading.Event) -> None:
    while not ended.wait(_BEAT_S):
        with suppress(ResultsError):  # a storage that is away for a while; then it goes stale
            if not _is_held_by(store, study, own):
                return  # this process was suspended, and another took over
            _write(store, study, own.model_copy(update={"seen": datetime.now(UTC)}))


def _is_held_by(store: RunStore, study: str, own: Holder) -> bool:
    found = find_holder(store, study)
    return found is not None and found.token == own.token


def find_holder(store: RunStore, study: str) -> Holder | None:
    """Give who said last to run a study; it may be gone.

    Raises:
        ResultsError: the storage cannot be read.
    """
    content = store.find_file(_name(study))
    try:
        return Holder.model_validate_json(content) if content else None
    except ValidationError:
        return None  # of another version; it holds nothing that we know of


def _write(store: RunStore, study: str, holder: Holder) -> None:
    store.write_file(_name(study), holder.model_dump_json().encode())


def _name(study: str) -> str:
    return f"_studies/{study}.lease"


def _runs(pid: int) -> bool:
    """Whether another process of this host has that number."""
    if pid == os.getpid():
        return False  # of an earlier container, where every driver has the same number
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
