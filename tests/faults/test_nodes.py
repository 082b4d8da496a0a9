"""Nodes of a cluster that are lost, with notice or without, and a cluster that is lost whole."""

import time

import pytest

from tests.faults.conftest import NewSweep, Note, Undisturbed
from tests.faults.drivers import TASK_ACTOR, TRIAL, parent
from tests.faults.nodes import NOTICE_S, nodes
from tests.faults.rows import assert_same

pytestmark = [pytest.mark.slow, pytest.mark.ray]
CPUS = (3, 3)  # each has room for all that runs: two task actors and a trial


def test_a_node_that_is_removed_with_features_on_it(
    new_sweep: NewSweep, note: Note, undisturbed: Undisturbed
) -> None:
    sweep = new_sweep(cold=True)
    with nodes(str(sweep.folder), *CPUS) as cluster:
        sweep.start(RAY_ADDRESS=cluster.address, RAY_TMPDIR="")
        sweep.wait_for_line("features 5/")
        raylet = parent(cluster.workers(TASK_ACTOR)[-1])
        assert cluster.tell(f"remove {raylet}") == "removed"
        seconds = sweep.features_s(time.time())
        assert sweep.exit_code() == 0, sweep.said()
    equal = assert_same(sweep.study.storage, undisturbed.rows)
    note("node with features", "Cluster.remove_node, kill -9, while they stream", seconds, equal)


def test_a_spot_node_that_is_drained_and_gone_when_its_notice_ends(
    new_sweep: NewSweep, note: Note, undisturbed: Undisturbed
) -> None:
    sweep = new_sweep()
    with nodes(str(sweep.folder), *CPUS) as cluster:
        sweep.start(RAY_ADDRESS=cluster.address, RAY_TMPDIR="")
        sweep.wait_for_state()
        raylet = parent(cluster.workers(TRIAL)[-1])
        assert cluster.tell(f"drain {raylet}") == "accepted"
        time.sleep(NOTICE_S)
        gone = time.time()
        cluster.tell(f"remove {raylet}")
        seconds = sweep.recovery_s(gone)
        assert sweep.exit_code() == 0, sweep.said()
    equal = assert_same(sweep.study.storage, undisturbed.rows)
    note("spot notice, node", f"drained (preemption), {NOTICE_S:g} s later kill -9", seconds, equal)


def test_a_head_that_is_lost_with_its_driver_and_started_anew(
    new_sweep: NewSweep, note: Note, undisturbed: Undisturbed
) -> None:
    sweep = new_sweep()
    with nodes(str(sweep.folder), *CPUS) as cluster:
        sweep.start(RAY_ADDRESS=cluster.address, RAY_TMPDIR="")
        sweep.wait_for_state()
        sweep.kill()
        cluster.kill()
        sweep.exit_code()
    lost = time.time()
    with nodes(str(sweep.folder), *CPUS) as cluster:
        sweep.start(RAY_ADDRESS=cluster.address, RAY_TMPDIR="")
        seconds = sweep.first_run_s(lost)
        assert sweep.exit_code() == 0, sweep.said()
    equal = assert_same(sweep.study.storage, undisturbed.rows)
    note("head and driver", "kill -9 of both, both started again", seconds, equal)
