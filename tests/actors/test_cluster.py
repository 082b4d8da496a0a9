import os
import subprocess
import sys
from pathlib import Path

import pytest

from distmerge.actors import cluster

pytestmark = pytest.mark.ray


def test_a_connection_that_exists_is_used_and_left_open(ray_local: None) -> None:
    import ray

    with cluster() as total:
        assert total["CPU"] == 4
    assert ray.is_initialized()


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("127.0.0.1:9", "no answer from the cluster"),
        ("garbage", "expected HOST:PORT of a running head"),
        ("http://127.0.0.1:8265", "that is the dashboard"),
    ],
)
def test_an_address_that_is_no_cluster_is_named(address: str, problem: str) -> None:
    said = refused(RAY_ADDRESS=address)
    assert f"CapacityError: RAY_ADDRESS={address}" in said
    assert problem in said


def test_a_ray_that_cannot_start_here_is_named(tmp_path: Path) -> None:
    """Its sockets lie in a folder whose path is longer than a socket's may be."""
    said = refused(RAY_TMPDIR=str(tmp_path / ("long" * 30)), RAY_ADDRESS="")
    assert "CapacityError: Ray did not start on this machine (" in said
    assert "set RAY_TMPDIR to another folder with a short path" in said


def test_a_cluster_that_runs_here_is_not_joined_unasked(tmp_path: Path) -> None:
    """What `ray start` leaves in its folder names one; Ray is started none the less, in vain."""
    folder = tmp_path / ("long" * 30)
    (folder / "ray").mkdir(parents=True)
    (folder / "ray" / "ray_current_cluster").write_text("127.0.0.1:9")
    assert "Ray did not start on this machine" in refused(RAY_TMPDIR=str(folder), RAY_ADDRESS="")


def refused(**environment: str) -> str:
    """Give what a process says on standard error that asks for a cluster in vain."""
    code = "from distmerge.actors import cluster\nwith cluster(): pass"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "RAY_AUTH_MODE": "disabled", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.stderr
