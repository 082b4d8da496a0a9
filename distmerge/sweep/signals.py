"""What stops a driver: Ctrl-C, and SIGTERM as `ray job stop` and schedulers send it."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Terminated(KeyboardInterrupt):  # the sibling of KeyboardInterrupt
    """SIGTERM came; everything is saved and closed as after Ctrl-C."""


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM raise ``Terminated``, as Ctrl-C raises ``KeyboardInterrupt``."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    with _handled({signal.SIGTERM: stop}):
        yield


class Stop:
    """Whether somebody has asked to stop, and how."""

    asked: type[KeyboardInterrupt] | None = None


@contextmanager
def asked_to_stop() -> Iterator[Stop]:
    """Yield whether Ctrl-C or SIGTERM came, for a loop that looks; a second one does not wait."""
    stop = Stop()

    def ask(number: int, _frame: FrameType | None) -> None:
        kind = Terminated if number == signal.SIGTERM else KeyboardInterrupt
        if stop.asked:
            raise kind
        stop.asked = kind

    with _handled({signal.SIGINT: ask, signal.SIGTERM: ask}):
        yield stop


Handler = Callable[[int, FrameType | None], Any]


@contextmanager
def _handled(handlers: dict[signal.Signals, Handler]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets no other thread handle signals
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
