"""A Ray cluster of several nodes in a process of its own, which drains and removes them.

``python -m tests.faults.nodes NODE NODE ...`` starts a head without cores and a node for each
CPUS or CPUS,GPUS, prints the head's address, and obeys lines on standard input: ``add NODE``,
``drain RAYLET`` and ``remove RAYLET``, by the process id of a node's raylet. It ends with its
input.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.faults.drivers import ROOT, descendants, end_all, titled

_STORE_BYTES = 100_000_000
NOTICE_S = 2.0  # a cloud gives 30 s to 2 minutes
# A node that is gone is noticed in seconds, and small arrays are objects on their node too.
_SYSTEM = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 10,
    "max_direct_call_object_size": 10_000,
}


class Nodes(NamedTuple):
    """A running cluster as others see it."""

    process: "subprocess.Popen[str]"
    address: str

    def tell(self, line: str) -> str:
        """Have a line obeyed; give the answer."""
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return _line(self.process)

    def workers(self, name: str) -> list[int]:
        """Give the cluster's processes with ``name`` in their title."""
        return titled(descendants(self.process.pid), name)

    def kill(self) -> None:
        """End the head, the nodes and all that runs there at once, as when machines are lost."""
        end_all([self.process.pid, *descendants(self.process.pid)])
        self.process.wait()


@contextmanager
def nodes(folder: str, *each: object) -> Iterator[Nodes]:
    """Hold a cluster; its files lie in ``folder``, whose path is short."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.nodes", *map(str, each)],
        cwd=ROOT,
        env={**os.environ, "RAY_TMPDIR": folder},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    running = Nodes(process, "")
    try:
        yield Nodes(process, _line(process))
    finally:
        running.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()


def _line(process: "subprocess.Popen[str]") -> str:
    """Give the next line that begins as ours do; Ray prints there too.

    Raises:
        RuntimeError: there is none any more.
    """
    assert process.stdout
    for line in process.stdout:
        if line.startswith("nodes: "):
            return line.removeprefix("nodes: ").strip()
    raise RuntimeError("the cluster's process has ended")


def _say(line: str) -> None:
    sys.stdout.write(f"nodes: {line}\n")
    sys.stdout.flush()


def _serve(each: list[str]) -> None:
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # it is Cython
    from ray.cluster_utils import Cluster

    head = {
        "num_cpus": 0,
        "include_dashboard": False,
        "object_store_memory": _STORE_BYTES,
        "_system_config": _SYSTEM,
    }
    cluster = Cluster(initialize_head=True, head_node_args=head)
    by_raylet = dict(_added(cluster, offer) for offer in each)
    cluster.wait_for_nodes()
    _say(cluster.address)
    for line in sys.stdin:
        action, argument = line.split()
        if action == "add":
            by_raylet |= [_added(cluster, argument)]
            cluster.wait_for_nodes()
            _say("added")
            continue
        node = by_raylet[int(argument)]
        if action == "drain":
            _say(_drain(GcsClient(address=cluster.address), node))
        else:
            cluster.remove_node(node, allow_graceful=False)
            _say("removed")


def _added(cluster: Any, offer: str) -> tuple[int, Any]:
    """Add a node; give its raylet's process id with it."""
    cpus, _, gpus = offer.partition(",")
    node = cluster.add_node(
        num_cpus=int(cpus), num_gpus=int(gpus or 0), object_store_memory=_STORE_BYTES
    )
    return node.all_processes["raylet"][0].process.pid, node


def _drain(client: Any, node: Any) -> str:
    """Tell Ray what a cloud tells a spot machine; give whether it was accepted."""
    from time import time

    from ray.core.generated.autoscaler_pb2 import DrainNodeReason

    reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    deadline_ms = int(1000 * (time() + NOTICE_S))
    accepted, message = client.drain_node(node.node_id, reason, "spot notice", deadline_ms)
    return "accepted" if accepted else str(message)


if __name__ == "__main__":
    _serve(sys.argv[1:])
