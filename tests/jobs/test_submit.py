"""A study as a Ray job, on a cluster of its own: loopback only, with a token."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from distmerge.spec import ModelFiles
from distmerge.sweep import run_sweep
from tests.sweep.studies import console, rows_of, study_of, written

pytestmark = [pytest.mark.ray, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
RAY = str(BIN / "ray")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Start a head in its own process group; give the environment that reaches it."""
    folder = tmp_path_factory.mktemp("head")
    dashboard = free_port()
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "a" * 64,
        "RAY_TMPDIR": str(folder),
        "DISTMERGE_CACHE": str(folder / "cache"),
    }
    environment.pop("RAY_ADDRESS", None)
    ports = [f"--port={free_port()}", f"--dashboard-port={dashboard}"]
    ports += [f"--dashboard-agent-listen-port={free_port()}"]
    start = [RAY, "start", "--head", "--block", "--num-cpus=2", "--disable-usage-stats", *ports]
    with (folder / "head.log").open("w") as log:
        head = subprocess.Popen(
            start, env=environment, stdout=log, stderr=log, start_new_session=True, cwd=folder
        )
    try:
        _wait_until_it_answers(dashboard)
        yield {**environment, "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}"}
    finally:
        os.killpg(head.pid, signal.SIGTERM)
        head.wait(timeout=60)


def _wait_until_it_answers(port: int) -> None:
    for _ in range(120):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    raise AssertionError("the head's dashboard did not open in 60 s")


def submit(cluster: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    options = ["--working-dir", ".", "--runtime-env-json", '{"excludes": ["/.git"]}']
    return subprocess.run(
        [RAY, "job", "submit", *options, "--", "python", "jobs/sweep.py", *command],
        env=cluster,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_a_submitted_study_succeeds_with_the_rows_of_this_process(
    cluster: dict[str, str], world: ModelFiles, tmp_path: Path
) -> None:
    done = submit(cluster, str(written(world, tmp_path)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Job '.*' succeeded", done.stdout)
    assert "task_arithmetic+surgery" in done.stdout
    here = study_of(world, tmp_path / "here", ray=False)
    run_sweep(here, console())
    there = study_of(world, tmp_path / "results")
    pd.testing.assert_frame_equal(rows_of(there), rows_of(here), rtol=1e-5, atol=1e-6)


def test_a_submitted_study_that_is_wrong_fails_with_its_message(
    cluster: dict[str, str], world: ModelFiles, tmp_path: Path
) -> None:
    done = submit(cluster, str(written(world, tmp_path)), "sed=1")
    assert done.returncode != 0
    assert "sed: unknown key; did you mean 'seed'?" in done.stdout + done.stderr


def test_the_cluster_refuses_who_has_no_token(cluster: dict[str, str]) -> None:
    done = submit({**cluster, "RAY_AUTH_TOKEN": "b" * 64}, "--help")
    assert done.returncode != 0
    assert re.search(r"403|[Ff]orbidden|[Ii]nvalid|[Uu]nauth", done.stdout + done.stderr)
