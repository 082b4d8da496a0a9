"""Several hosts, made of network namespaces; one of them is cut off in the middle of a sweep."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from distmerge.spec import ModelFiles
from tests.cluster.conftest import assert_same
from tests.cluster.hosts import ROOT, Head, head, ray_start, wait_for_state
from tests.cluster.networks import Hosts, hosts, missing, pids
from tests.faults.drivers import TRIAL, titled

pytestmark = [pytest.mark.ray, pytest.mark.slow]
PATIENCE_S = 540.0
# A host that is gone is noticed in seconds.
SYSTEM = (
    '--system-config={"health_check_initial_delay_ms":0,"health_check_period_ms":1000,'
    '"health_check_failure_threshold":5,"health_check_timeout_ms":5000}'
)


class Network(NamedTuple):
    """A head without cores and two workers, each a host of its own."""

    hosts: Hosts
    head: Head


@pytest.fixture
def network(short: Path) -> Iterator[Network]:
    if reason := missing():
        pytest.skip(reason)
    with ExitStack() as stack:
        found = stack.enter_context(hosts(3))
        first, *others = zip(found.names, found.addresses, strict=True)
        options = ("--num-cpus=0", SYSTEM)
        running = stack.enter_context(head(short, *options, host=first[1], within=first[0]))
        for name, address in others:
            joined = (f"--address={running.address}", f"--node-ip-address={address}")
            stack.enter_context(
                ray_start(running.environment, *joined, "--num-cpus=3", within=name)
            )
        yield Network(found, running)


def trials(network: Network) -> list[list[int]]:
    """Give the processes of each host that do a run."""
    return [titled(pids(name), TRIAL) for name in network.hosts.names]


def test_a_host_that_is_cut_off_mid_sweep_changes_no_row(
    network: Network, study: Path, world: ModelFiles, rows: pd.DataFrame
) -> None:
    results = study.parent / "cut"
    shared = ["--shared", str(study.parent), "--shared", str(world.base.parent)]
    command = [sys.executable, "-m", "distmerge.cli", "submit", str(study), *shared]
    with subprocess.Popen(
        [*command, "ray.actors=2", f"storage={results}"],
        env=network.head.environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as following:
        wait_for_state(results)
        busy = [number for number, found in enumerate(trials(network)) if found]
        assert busy, "no host does a run"
        network.hosts.cut(busy[-1])
        said, _ = following.communicate(timeout=PATIENCE_S)
    assert following.returncode == 0, said
    assert_same(results, rows)
