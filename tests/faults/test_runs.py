"""Runs that fail: no number, no memory, no end. Each is one row, and the sweep goes on."""

import signal

import pandas as pd
import pytest

from distmerge.methods import HYPERS
from distmerge.results import RunStore
from tests.faults.conftest import NewSweep, Note, Undisturbed
from tests.faults.drivers import PIPELINES, Sweep
from tests.faults.limits import leave_no_memory
from tests.faults.rows import assert_same, final_rows

pytestmark = [pytest.mark.slow, pytest.mark.ray]
HUGE = {"adamerging.steps": 12, "adamerging.batch_size": 8, "adamerging.lr": 1e30}
DIVERGING = {
    "stages": ["adamerging", "surgery"],
    "settings": {**HUGE, "adamerging.projection": "none"},
}
TIMEOUT_S = 20.0


def errors(sweep: Sweep) -> pd.Series:
    """Give the errors of the runs that failed, by method."""
    rows = RunStore(sweep.study.storage, HYPERS).records("tiny")
    failed = rows[rows["status"] == "error"].drop_duplicates("run_id")
    return failed.set_index("method")["error"]


def test_a_run_that_runs_out_of_memory(
    new_sweep: NewSweep, note: Note, undisturbed: Undisturbed
) -> None:
    learned = [pipeline for pipeline in PIPELINES if "trials" not in pipeline]
    sweep = new_sweep(pipelines=learned)
    sweep.start()
    leave_no_memory(sweep.learning_trial())
    assert sweep.exit_code() == 1, sweep.said()
    error = errors(sweep)["adamerging_pp"]
    assert "this run needs more memory than it had: give a trial more cores" in error
    sweep.change(pipelines=PIPELINES)
    seconds = sweep.first_run_s(sweep.start())
    assert sweep.exit_code() == 0, sweep.said()
    equal = assert_same(sweep.study.storage, undisturbed.rows)
    note("out of memory", "RLIMIT_AS of its process at what it has; run again", seconds, equal)


def test_a_run_that_hangs_is_ended_and_done_when_the_sweep_is_run_again(
    new_sweep: NewSweep, note: Note, undisturbed: Undisturbed
) -> None:
    sweep = new_sweep(trial_timeout_s=TIMEOUT_S)
    sweep.start()
    stopped = sweep.kill(sweep.learning_trial(), signal.SIGSTOP)
    seconds = sweep.wait_for_row("adamerging") - stopped
    assert sweep.exit_code() == 1
    assert errors(sweep)["adamerging"].startswith("not done in 20 s (trial_timeout_s)")
    sweep.start()
    assert sweep.exit_code() == 0, sweep.said()
    equal = assert_same(sweep.study.storage, undisturbed.rows)
    note("trial that hangs", "SIGSTOP, trial_timeout_s 20; run again", seconds, equal)


def test_a_loss_that_is_no_number(
    new_sweep: NewSweep, note: Note, undisturbed: Undisturbed
) -> None:
    sweep = new_sweep(pipelines=[DIVERGING, *PIPELINES])
    sweep.start()
    assert sweep.exit_code() == 1, sweep.said()
    assert errors(sweep)["adamerging+surgery"].startswith("DivergenceError")
    assert "adamerging+surgery" not in set(final_rows(sweep.study.storage)["method"])
    equal = assert_same(sweep.study.storage, undisturbed.rows)
    note("NaN loss", "learning rate 1e30: one row with status=error, exit code 1", 0.0, equal)
