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


def test_an_address_that_does_not_answer_is_named() -> None:
    code = "from distmerge.actors import cluster\nwith cluster(): pass"
    environment = {**os.environ, "RAY_ADDRESS": "127.0.0.1:9", "RAY_AUTH_MODE": "disabled"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "CapacityError: RAY_ADDRESS=127.0.0.1:9: no answer from the cluster" in done.stderr
