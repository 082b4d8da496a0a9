"""Wall-clock time of a call."""

import time
from collections.abc import Callable

_REPEATS = 5


def median(call: Callable[[], object]) -> float:
    """Give the median seconds of a call, after one that is not counted."""
    call()
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)[_REPEATS // 2]
