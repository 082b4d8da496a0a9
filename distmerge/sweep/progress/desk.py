"""What a driver says of its sweep from start to end: its account, and its log."""

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from distmerge import __version__
from distmerge.coordinator import FeatureLine
from distmerge.results import REFERENCES, RunStore
from distmerge.spec import Study
from distmerge.sweep.progress.account import Account, Phase, RunAccount, write_account
from distmerge.sweep.progress.board import Board, settings_text
from distmerge.sweep.progress.logs import logged, note

WRITE_S = 5.0
"""How often the account is written."""
_LAST_S = 30.0  # how long the last one may take


class Desk:
    """Where a driver puts together what it says.

    Args:
        finished: runs of the study that need not be done again.
    """

    def __init__(self, finished: int) -> None:
        self._features: tuple[int, int] | None = None
        self._finished = finished
        self._board: Board | None = None
        self._since = datetime.now(UTC)
        self.ending: str | None = None
        """How the sweep ended, once it has."""

    def plan(self, board: Board) -> None:
        """Take the board that counts the runs to do."""
        self._board = board
        note("planned", f"{board.total} runs to do", runs=board.total, finished=self._finished)

    def report(self, line: str) -> None:
        """Take a line of progress."""
        if isinstance(line, FeatureLine):
            self._features = (line.done, line.total)
            note("features", line, done=line.done, total=line.total)
        else:
            note("progress", line)

    def account(self) -> Account:
        """Give the account as of now."""
        board, ending = self._board, self.ending
        phase: Phase = "features" if self._features else "start"
        phase = "runs" if board and board.has_begun else phase
        return Account(
            host=socket.gethostname(),
            pid=os.getpid(),
            since=self._since,
            written_at=datetime.now(UTC),
            phase="ended" if ending else phase,
            features=self._features,
            total=self._finished + board.total if board else None,
            eta_s=board.eta_s() if board and not ending else None,
            running=_running(board) if board and not ending else (),
            ending=ending,
        )


@contextmanager
def watched(store: RunStore, study: Study) -> Iterator[Desk]:
    """Yield where the driver says how its sweep goes.

    Raises:
        ResultsError: the log cannot be written, or the storage not be read, at the start.
    """
    with logged(store, study.study, "driver", wanted=study.logs):
        note(
            "sweep_started",
            f"study {study.study} in {store.place}",
            version=__version__,
            host=socket.gethostname(),
            pid=os.getpid(),
        )
        with accounted(store, study.study) as desk:
            yield desk


@contextmanager
def accounted(store: RunStore, study: str) -> Iterator[Desk]:
    """Yield a desk whose account is written to the storage every few seconds, and at the end.

    A storage that does not answer costs an account, nothing else.

    Raises:
        ResultsError: the storage cannot be read at the start.
    """
    desk, ended = Desk(_finished(store, study)), threading.Event()
    brief = replace(store, patience_s=0.0)  # it is written again soon
    ending, level = "finished", logging.INFO
    writer = threading.Thread(target=_keep_writing, args=(brief, study, desk, ended), daemon=True)
    writer.start()
    try:
        yield desk
    except BaseException as error:
        ending = "stopped"
        if not isinstance(error, KeyboardInterrupt):
            said, level = str(error).partition("\n")[0], logging.ERROR
            ending = f"failed: {type(error).__name__}: {said}"
        raise
    finally:
        desk.ending = ending
        ended.set()
        writer.join(_LAST_S)
        note("sweep_ended", ending, level=level)


def _finished(store: RunStore, study: str) -> int:
    rows = store.records(study).drop_duplicates(["run_id", "status"])
    done = rows[rows["status"].isin(["ok", "pruned"]) & ~rows["method"].isin(REFERENCES)]
    return done["run_id"].nunique()


def _running(board: Board) -> tuple[RunAccount, ...]:
    now = time.monotonic()
    return tuple(
        RunAccount(
            run_id=run.suggestion.run_id,
            method=run.suggestion.config.name,
            settings=settings_text(run.suggestion),
            seconds=now - run.since,
            **(run.standing._asdict() if run.standing else {}),
        )
        for run in board.in_progress
    )


def _keep_writing(store: RunStore, study: str, desk: Desk, ended: threading.Event) -> None:
    """Write accounts, the last one too: it must not be overtaken by one that takes its time."""
    while (account := desk.account()).ending is None:
        write_account(store, study, account)
        ended.wait(WRITE_S)
    write_account(store, study, account)
