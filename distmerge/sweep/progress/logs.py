"""What happens in a sweep as JSON lines in the storage, by the standard logging module."""

import json
import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from distmerge.errors import ResultsError
from distmerge.results import RunStore

_ALL, _EVENTS = logging.getLogger("distmerge"), logging.getLogger("distmerge.events")
_EVENTS.addHandler(logging.NullHandler())  # else Python prints those of failed runs
PART_BYTES = 1_000_000
"""How long a file becomes where none can be appended to."""
WRITE_S = 10.0
"""How often it is written there."""

Value: TypeAlias = str | int | float | bool | None


def note(event: str, message: str, *, level: int = logging.INFO, **fields: Value) -> None:
    """Log an event; ``fields`` such as ``run_id`` stand beside the message."""
    _EVENTS.log(level, message, extra={"event": event, "fields": fields})


class JsonLine(logging.Formatter):
    """A record as one line of JSON: ``time``, ``level``, ``event``, ``study``, ``message``, ..."""

    def __init__(self, study: str) -> None:
        super().__init__()
        self._study = study

    def format(self, record: logging.LogRecord) -> str:
        """Give the line; a record of another library has its logger's name for an event."""
        known: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", record.name),
            "study": self._study,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            known["trace"] = self.formatException(record.exc_info)
        return json.dumps(known, default=str)


@contextmanager
def logged(store: RunStore, study: str, role: str, *, wanted: bool) -> Iterator[None]:
    """Write what this process logs to ``_logs/STUDY/`` in the storage, in a file of its own.

    In a folder every line is appended when it is logged. On a store of objects, where nothing can
    be appended, a thread writes a file anew every ``WRITE_S`` seconds if there is more, and at the
    end; after ``PART_BYTES`` it is left and another begun. A storage that does not answer costs
    lines, not runs.

    Args:
        store: the results.
        study: name of the study.
        role: of this process in the sweep; part of the file's name.
        wanted: whether to write at all.

    Raises:
        ResultsError: the folder cannot be written.
    """
    if not wanted:
        yield
        return
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    name = f"_logs/{study}/{now}-{socket.gethostname()}-{os.getpid()}-{role}"
    handler = Parts(store, name) if "://" in store.root else _appended(store, name)
    handler.setFormatter(JsonLine(study))
    level, shown = _ALL.level, _shown()
    _ALL.addHandler(handler)
    _ALL.addHandler(shown)
    _ALL.setLevel(min(level, logging.INFO) if level else logging.INFO)
    try:
        yield
    finally:
        _ALL.removeHandler(handler)
        _ALL.removeHandler(shown)
        _ALL.setLevel(level)
        with suppress(OSError):  # of a full disk, which must not hide why the sweep ends
            handler.close()


def _shown() -> logging.Handler:
    """Give what prints warnings where nobody set up logging, as Python does without a handler."""
    if logging.getLogger().handlers:
        return logging.NullHandler()
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.addFilter(lambda record: record.name != _EVENTS.name)
    return handler


def _appended(store: RunStore, name: str) -> logging.Handler:
    path = Path(store.place) / f"{name}.jsonl"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _Lines(path, encoding="utf-8")
    except OSError as error:
        raise ResultsError(f"{path}: cannot write the log ({error}); or set logs: false") from error


class _Lines(logging.FileHandler):
    """Lines appended to a file."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Pass over a line that cannot be written; where rows cannot be either, the sweep ends."""


class Parts(logging.Handler):
    """Lines as files of some length, each written whole, by a thread: nobody waits for it."""

    def __init__(self, store: RunStore, name: str) -> None:
        super().__init__()
        self._store, self._name = replace(store, patience_s=0.0), name
        self._lines: list[str] = []
        self._written = self._part = 0
        self._ended = threading.Event()
        self._writer = threading.Thread(target=self._keep_writing, daemon=True)
        self._writer.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self._lines.append(self.format(record))

    def close(self) -> None:
        """Write what is not written yet; a storage that does not answer is not waited for long."""
        self._ended.set()
        self._writer.join(WRITE_S)
        super().close()

    def _keep_writing(self) -> None:
        while not self._ended.wait(WRITE_S):
            self._write()
        self._write()

    def _write(self) -> None:
        lines = self._lines[:]
        if len(lines) == self._written:
            return
        content = "".join(f"{line}\n" for line in lines).encode()
        try:
            self._store.write_file(f"{self._name}-{self._part}.jsonl", content)
        except ResultsError:  # it is written again, with what follows
            return
        self._written = len(lines)
        if len(content) >= PART_BYTES:
            del self._lines[: len(lines)]
            self._written, self._part = 0, self._part + 1
