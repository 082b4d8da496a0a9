"""A cluster without workers that grows with a sweep and shrinks after it, by Ray's autoscaler."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from distmerge.spec import ModelFiles
from distmerge.sweep import run_sweep
from tests.cluster.conftest import assert_same
from tests.cluster.hosts import (
    environment_of,
    free_port,
    processes,
    ray_start,
    wait_for,
    wait_until,
)
from tests.faults.drivers import Sweep, descendants
from tests.faults.rows import final_rows
from tests.sweep.studies import ADAPT, console, study_of

pytestmark = [pytest.mark.ray, pytest.mark.slow]
PATIENCE_S = 240.0
WORKERS = 2
STUDY: dict[str, Any] = {
    "pipelines": [{"stages": ["adamerging"], "trials": 3, "settings": ADAPT}],
    "ray": {
        "autoscaled": True,
        "actors": WORKERS,
        "actor_gpus": 0,
        "trial_gpus": 0,
        "max_concurrent": 1,
        "start_timeout_s": PATIENCE_S,
        "timeout_s": PATIENCE_S,
    },
}
HEAD = "ray.head.default"  # another name, and the autoscaler starts heads
IDLE_MINUTES = 0.3


def launch_file(folder: Path, port: int) -> Path:
    """Give a file of workers of one core that come and go; Ray wants every key."""
    kinds = {
        HEAD: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "worker": {
            "resources": {"CPU": 1, "object_store_memory": 100_000_000},
            "node_config": {},
            "min_workers": 0,
            "max_workers": WORKERS,
        },
    }
    provider = {
        "type": "fake_multinode",
        "gcs_address": f"127.0.0.1:{port}",
        "use_node_id_as_ip": True,  # all nodes have one address
        "disable_node_updaters": True,  # there is no SSH
    }
    folders = ("auth", "docker", "file_mounts")
    lists = ("cluster_synced_files", "rsync_exclude", "rsync_filter", "initialization_commands")
    starts = ("setup_commands", "start_ray_commands")
    commands = [f"{who}_{what}" for who in ("head", "worker") for what in starts]
    content = {
        "cluster_name": "fake",
        "max_workers": WORKERS,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": IDLE_MINUTES,
        "provider": provider,
        "available_node_types": kinds,
        "head_node_type": HEAD,
        "file_mounts_sync_continuously": False,
        **{name: {} for name in folders},
        **{name: [] for name in (*lists, "setup_commands", *commands)},
    }
    (path := folder / "fake.yaml").write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def cluster(short: Path) -> Iterator[dict[str, str]]:
    """A head without cores; its autoscaler may start two workers."""
    port = free_port()
    environment = environment_of(short)
    environment |= {"RAY_ADDRESS": f"127.0.0.1:{port}"}
    first = {"RAY_FAKE_CLUSTER": "1", "RAY_enable_autoscaler_v2": "0"}
    first |= {**environment, "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    options = [f"--port={port}", f"--autoscaling-config={launch_file(short, port)}"]
    options += ["--num-cpus=0", "--include-dashboard=false"]
    try:
        with ray_start(first, "--head", *options):
            wait_for("127.0.0.1", port)
            yield environment
    finally:
        for pid in processes(str(short)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def workers(folder: Path) -> list[int]:
    """Give the raylets beside the head's, which is the oldest."""
    found = processes("raylet/raylet", str(folder))
    forked = {pid for raylet in found for pid in descendants(raylet)}  # not yet what they will be
    return sorted({*found} - forked)[1:]


def test_a_cluster_grows_with_a_sweep_and_shrinks_after_it(
    cluster: dict[str, str], short: Path, world: ModelFiles
) -> None:
    here = study_of(world, short / "alone", **{**STUDY, "ray": False})
    run_sweep(here, console())
    assert workers(short) == []
    (folder := short / "grown").mkdir()
    sweep = Sweep(folder, world, cluster, **STUDY)
    try:
        sweep.start()
        sweep.wait_for_line(f"{WORKERS} actors pin 4 models")
        assert len(workers(short)) == WORKERS
        assert sweep.exit_code() == 0, sweep.said()
    finally:
        sweep.end()
    assert_same(sweep.results, final_rows(here.storage))
    wait_until(lambda: not workers(short), "end of the workers", PATIENCE_S)
