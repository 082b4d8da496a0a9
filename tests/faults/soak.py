"""A sweep under random kills: which process gets which signal when is drawn from a seed."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.faults.drivers import TASK_ACTOR, TRIAL, Sweep

GRID: dict[str, Any] = {
    "pipelines": [
        {"stages": ["weight_averaging"]},
        {
            "stages": ["task_arithmetic"],
            "settings": {"task_arithmetic.scaling": {"uniform": [0.1, 0.6], "points": 6}},
        },
        {
            "stages": ["adamerging"],
            "settings": {
                "adamerging.steps": 200,
                "adamerging.batch_size": 4,
                "adamerging.init": 0.3,
                "adamerging.lr": {"choice": [0.001, 0.003, 0.01]},
            },
        },
        {
            "stages": ["task_arithmetic", "surgery"],
            "settings": {
                "task_arithmetic.scaling": 0.3,
                "surgery.steps": 30,
                "surgery.lr": 0.001,
                "surgery.rank": {"choice": [4, 8]},
            },
        },
    ],
    "sampler": "grid",  # a point that failed is asked for again, whatever the order
    "checkpoint_s": 1.0,
    "ray": {
        "gradient": "actors",
        "actors": 2,
        "actor_cpus": 0.5,
        "trial_cpus": 0.5,
        "max_concurrent": 2,
        "max_restarts": 100,
        "timeout_s": 200.0,
    },
}
"""Two trials at a time whose gradients two task actors compute, so that all are there to kill."""

VICTIMS = ("driver", "trial", "trial", "task actor", "task actor")
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP)
GAP_S = (1.0, 10.0)
STOPPED_S = 3.0
MOST_DRIVERS_AFTERWARDS = 5
"""A sweep that nothing disturbs any more may be started again so often to be complete."""


@dataclass
class Tally:
    """What was done to a sweep."""

    kills: Counter[str] = field(default_factory=Counter)
    """How often which process got which signal."""
    codes: Counter[int] = field(default_factory=Counter)
    """How drivers ended."""
    rounds: int = 0
    """Sweeps that were completed."""

    def __str__(self) -> str:
        kills = ", ".join(f"{number} x {what}" for what, number in sorted(self.kills.items()))
        codes = ", ".join(f"{number} x {code}" for code, number in sorted(self.codes.items()))
        return (
            f"{self.rounds} sweeps completed by {self.codes.total()} drivers (exit codes: {codes}),"
            f" {self.kills.total()} kills: {kills}"
        )


def soak(
    new: Callable[[], Sweep], finish: Callable[[Sweep], None], seconds: float, seed: int
) -> Tally:
    """Run sweeps one after the other under random kills; each ends complete, or this fails.

    Args:
        new: gives a sweep that nothing has been done of.
        finish: checks a sweep that says that it is complete.
        seconds: for how long to kill; the last sweep is completed in peace.
        seed: of the schedule.
    """
    draw, tally, end = np.random.default_rng(seed), Tally(), time.monotonic() + seconds
    while time.monotonic() < end:
        sweep, in_peace = new(), 0
        while True:
            in_peace += time.monotonic() >= end
            assert in_peace <= MOST_DRIVERS_AFTERWARDS, f"never complete: {sweep.said()}"
            sweep.start()
            _disturb(sweep, end, draw, tally)
            code = sweep.exit_code()
            tally.codes[code] += 1
            if code == 0:
                break
        finish(sweep)
        sweep.end()
        tally.rounds += 1
    return tally


def _disturb(sweep: Sweep, end: float, draw: np.random.Generator, tally: Tally) -> None:
    """Strike at random moments, from its first words on, until the driver or the time has ended."""
    while sweep.is_running() and time.monotonic() < end and "ray: " not in sweep.said():
        time.sleep(0.05)
    while True:
        moment = time.monotonic() + draw.uniform(*GAP_S)
        victim, number = draw.choice(VICTIMS), SIGNALS[draw.integers(len(SIGNALS))]
        while sweep.is_running() and time.monotonic() < min(moment, end):
            time.sleep(0.05)
        if not sweep.is_running() or time.monotonic() >= end:
            return
        _strike(sweep, str(victim), number, tally)


def _strike(sweep: Sweep, victim: str, number: signal.Signals, tally: Tally) -> None:
    names = {"trial": TRIAL, "task actor": TASK_ACTOR}
    pids = [sweep.pid] if victim == "driver" else sweep.workers(names[victim])
    if not pids:
        return
    try:
        sweep.kill(pids[-1], number)
        if number == signal.SIGSTOP:
            time.sleep(STOPPED_S)
            os.kill(pids[-1], signal.SIGCONT)
    except ProcessLookupError:
        return  # it ended by itself
    tally.kills[f"{victim} {number.name}"] += 1
