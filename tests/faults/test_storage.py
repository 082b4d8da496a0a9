"""Storage that fails: a full disk, and a store that answers 503 for a while and for good."""

import time

import pytest

from tests.faults.conftest import NewSweep, Note, Undisturbed
from tests.faults.drivers import RECORDER
from tests.faults.gate import gate
from tests.faults.limits import leave_no_room
from tests.faults.rows import assert_same
from tests.storage.clients import environment_of
from tests.storage.server import WRITER, needs_s3

pytestmark = [pytest.mark.slow, pytest.mark.ray]
OUTAGE_S = 20.0
GIVEN_UP_S = 200.0


def test_a_disk_that_is_full_and_has_room_again(
    new_sweep: NewSweep, note: Note, undisturbed: Undisturbed
) -> None:
    sweep = new_sweep()
    sweep.start()
    sweep.wait_for_state()
    full = leave_no_room(sweep.workers(RECORDER)[0], 1000)
    assert sweep.exit_code() == 2
    ended_s = time.time() - full
    assert "cannot write" in sweep.said()
    seconds = sweep.first_run_s(sweep.start())
    assert sweep.exit_code() == 0, sweep.said()
    done = f"writer's files end at 1 kB; the sweep ended after {ended_s:.0f} s; run again"
    note("disk full", done, seconds, assert_same(sweep.study.storage, undisturbed.rows))


@needs_s3
def test_a_store_that_answers_503_for_a_while(
    new_sweep: NewSweep, note: Note, undisturbed: Undisturbed, bucket: str, s3_endpoint: str
) -> None:
    with gate(s3_endpoint) as store:
        sweep = new_sweep(storage=f"{bucket}/results", checkpoint_s=0.5)
        sweep.start(**environment_of(WRITER, store.endpoint))
        sweep.wait_for_line("run   2/")
        store.close()
        time.sleep(OUTAGE_S)
        assert sweep.is_running(), sweep.said()
        store.open()
        again = time.time()
        sweep.wait_for_line("run   3/")
        seconds = time.time() - again
        assert sweep.exit_code() == 0, sweep.said()
        assert store.refused
    equal = assert_same(sweep.study.storage, undisturbed.rows)
    note("S3", f"503 for {OUTAGE_S:.0f} s", seconds, equal)


@needs_s3
def test_a_store_that_answers_503_for_good_and_is_back_later(
    new_sweep: NewSweep, note: Note, undisturbed: Undisturbed, bucket: str, s3_endpoint: str
) -> None:
    with gate(s3_endpoint) as store:
        sweep = new_sweep(storage=f"{bucket}/results", checkpoint_s=0.5)
        account = environment_of(WRITER, store.endpoint)
        sweep.start(**account)
        sweep.wait_for_line("run   2/")
        store.close()
        closed = time.time()
        assert sweep.exit_code() == 2, sweep.said()
        ended_s = time.time() - closed
        assert ended_s < GIVEN_UP_S
        assert "no answer; check the network" in sweep.said()
        assert "Traceback" not in sweep.said()
        store.open()
        seconds = sweep.first_run_s(sweep.start(**account))
        assert sweep.exit_code() == 0, sweep.said()
    equal = assert_same(sweep.study.storage, undisturbed.rows)
    note("S3", f"503 for good: the sweep ended after {ended_s:.0f} s; run again", seconds, equal)
