import os
import subprocess
import sys

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
    code = "from distmerge.actors import cluster\nwith cluster(): pass"
    environment = {**os.environ, "RAY_ADDRESS": address, "RAY_AUTH_MODE": "disabled"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert f"CapacityError: RAY_ADDRESS={address}" in done.stderr
    assert problem in done.stderr
