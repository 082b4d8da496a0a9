"""Processes of a sweep that are killed, hang or run out of memory."""

import signal
import time

import pytest

from tests.faults.conftest import NewSweep, Note, Undisturbed
from tests.faults.drivers import TASK_ACTOR, TRIAL
from tests.faults.rows import assert_same

pytestmark = [pytest.mark.slow, pytest.mark.ray]


def test_a_task_actor_that_is_killed_while_it_streams(
    new_sweep: NewSweep, note: Note, undisturbed: Undisturbed
) -> None:
    sweep = new_sweep(cold=True)
    sweep.start()
    sweep.wait_for_line("features 1/")
    killed = sweep.kill(sweep.workers(TASK_ACTOR)[-1])
    assert "features 9/" not in sweep.said()
    seconds = sweep.features_s(killed)
    assert sweep.exit_code() == 0
    note(
        "task actor",
        "kill -9 while it streams",
        seconds,
        assert_same(sweep.study.storage, undisturbed.rows),
    )


def test_a_trial_that_is_killed(new_sweep: NewSweep, note: Note, undisturbed: Undisturbed) -> None:
    sweep = new_sweep()
    sweep.start()
    seconds = sweep.recovery_s(sweep.kill(sweep.learning_trial()))
    assert sweep.exit_code() == 0
    note(
        "trial",
        "kill -9 in the middle of a run",
        seconds,
        assert_same(sweep.study.storage, undisturbed.rows),
    )


def test_a_driver_that_is_killed_and_started_again(
    new_sweep: NewSweep, note: Note, undisturbed: Undisturbed
) -> None:
    sweep = new_sweep()
    sweep.start()
    sweep.learning_trial()
    sweep.kill()
    assert sweep.exit_code() == -signal.SIGKILL
    seconds = sweep.first_run_s(sweep.start())
    assert sweep.exit_code() == 0
    note(
        "driver",
        "kill -9 in the middle of a run, started again",
        seconds,
        assert_same(sweep.study.storage, undisturbed.rows),
    )


def test_a_driver_that_gets_a_spot_notice_and_is_started_elsewhere(
    new_sweep: NewSweep, note: Note, undisturbed: Undisturbed
) -> None:
    sweep = new_sweep(checkpoint_s=600.0)  # what is saved is saved because of the notice
    sweep.start()
    sweep.wait_for_line("run   2/")
    sweep.wait_for(lambda: sweep.workers(TRIAL), "trial")
    noticed = sweep.kill(number=signal.SIGTERM)
    assert sweep.exit_code() == 143
    stopped_s = time.time() - noticed
    assert "run the same command again to go on" in sweep.said()
    seconds = sweep.first_run_s(sweep.start())
    assert sweep.exit_code() == 0, sweep.said()
    equal = assert_same(sweep.study.storage, undisturbed.rows)
    done = f"SIGTERM; it had saved and ended after {stopped_s:.0f} s; started again"
    note("spot notice, driver", done, seconds, equal)
