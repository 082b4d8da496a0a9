"""One side of a comparison, in a process of its own: its peak memory is its own."""

import multiprocessing
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, ParamSpec, TypeVar

from benchmarks.clock import seconds

_P = ParamSpec("_P")
_T = TypeVar("_T")
_WAIT_S = 600.0
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Took(NamedTuple):
    """What a call takes in its process."""

    seconds: float
    peak_bytes: int | None
    """Resident memory at most, with all that the process holds; Linux alone says it."""


class Side:
    """A process that does what it is asked, one thing at a time, and keeps what it has loaded."""

    def __init__(self, library: Path | None = None) -> None:
        """Start it; ``library`` is a folder of packages that it has beside ours."""
        self._pool = ProcessPoolExecutor(
            1,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_add_packages,
            initargs=(library,),
        )

    def __enter__(self) -> "Side":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def ask(self, call: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
        """Give what a function of a module gives there.

        Raises:
            TimeoutError: it takes longer than ten minutes.
            BrokenProcessPool: the process died, as it does where memory runs out.
        """
        return self._pool.submit(call, *arguments, **named).result(timeout=_WAIT_S)

    def measure(self, call: Callable[_P, object], *arguments: _P.args, **named: _P.kwargs) -> Took:
        """Give what a call takes there, the way to it and back not counted.

        Raises:
            TimeoutError: as ``ask``.
            BrokenProcessPool: as ``ask``.
        """
        return self.ask(_took, call, arguments, named)


def _add_packages(library: Path | None) -> None:
    if library:
        sys.path.append(str(library))


def _took(
    call: Callable[..., object], arguments: tuple[object, ...], named: dict[str, object]
) -> Took:
    if _CLEAR.exists():
        _CLEAR.write_text("5")  # the peak begins again at what is held now
    time_s = seconds(lambda: call(*arguments, **named))
    return Took(time_s, _peak_bytes())


def _peak_bytes() -> int | None:
    if not _STATUS.exists():
        return None
    facts = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return 1024 * int(facts["VmHWM"].split()[0])


def median(tooks: Sequence[Took]) -> Took:
    """Give the median time, and the highest peak."""
    times, peaks = zip(*tooks, strict=True)
    known = [peak for peak in peaks if peak is not None]
    return Took(sorted(times)[len(times) // 2], max(known, default=None))
