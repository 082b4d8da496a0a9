"""All metrics that a sweep exports through Ray; Ray puts ``ray_`` in front of their names.

The tag ``study`` is the study of the process, ``method`` the stages of a run.
"""

import math
import time
from collections.abc import Callable

from ray.util.metrics import Counter, Gauge, Histogram

from distmerge.coordinator import Progress

STUDY, METHOD = "study", "method"

FEATURES_WAITING = Gauge(
    "distmerge_features_waiting",
    "Streams of features (model, task, role) that have not arrived whole.",
    (STUDY,),
)
BYTES_IN_FLIGHT = Gauge(
    "distmerge_feature_bytes_in_flight",
    "Bytes of feature blocks that arrived and whose stream is not whole and stored yet.",
    (STUDY,),
)
CACHE_HITS = Counter(
    "distmerge_feature_cache_hits_total", "Features that a cache held already.", (STUDY,)
)
CACHE_MISSES = Counter(
    "distmerge_feature_cache_misses_total", "Features that no cache held.", (STUDY,)
)
RUNS_WAITING = Gauge("distmerge_runs_waiting", "Runs that have not begun.", (STUDY,))
RUNS_IN_PROGRESS = Gauge("distmerge_runs_in_progress", "Runs in progress.", (STUDY,))
RUNS_ENDED = Counter(
    "distmerge_runs_ended_total", "Runs that ended, by status.", (STUDY, METHOD, "status")
)
STEP_SECONDS = Histogram(
    "distmerge_step_seconds",
    "Seconds of an optimiser step, checks included.",
    (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
    (STUDY, METHOD),
)
GPU_SECONDS = Counter(
    "distmerge_gpu_seconds_total",
    "Seconds that ended runs held a GPU or a share of one.",
    (STUDY, METHOD),
)
_ALL = (
    *(FEATURES_WAITING, BYTES_IN_FLIGHT, CACHE_HITS, CACHE_MISSES),
    *(RUNS_WAITING, RUNS_IN_PROGRESS, RUNS_ENDED, STEP_SECONDS, GPU_SECONDS),
)


def measure_study(study: str) -> None:
    """Say whose numbers this process exports from now on."""
    for metric in _ALL:
        metric.set_default_tags({STUDY: study})


measure_study("")  # Ray refuses a number without its tags


def count(counter: Counter, by: float, tags: dict[str, str] | None = None) -> None:
    """Raise a counter; Ray refuses to raise one by nothing."""
    if by > 0:
        counter.inc(by, tags)


def count_ended(method: str, status: str, gpu_s: float) -> None:
    """Count a run that ended, and what it took on a GPU."""
    count(RUNS_ENDED, 1.0, {METHOD: method, "status": status})
    count(GPU_SECONDS, gpu_s, {METHOD: method})


def step_timer(method: str) -> Callable[[Progress], None]:
    """Give an observer that measures the time between a run's steps."""
    last, tags = time.monotonic(), {METHOD: method}

    def observe(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if progress.step > 1 and not math.isnan(progress.loss):  # else there was more than a step
            STEP_SECONDS.observe(now - last, tags)
        last = now

    return observe
