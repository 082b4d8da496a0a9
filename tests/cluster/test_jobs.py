"""A study as a Ray job, on a cluster of its own: loopback only, with a token."""

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from tests.cluster.conftest import assert_same
from tests.cluster.hosts import RAY, ROOT, Head, call, submit, wait_for_state

pytestmark = [pytest.mark.ray, pytest.mark.slow]
PATIENCE_S = 300.0


class Job(NamedTuple):
    """What a job left."""

    done: "subprocess.CompletedProcess[str]"
    results: Path


@pytest.fixture(scope="module")
def submitted(cluster: Head, study: Path) -> Job:
    """The study, submitted by us."""
    results = study.parent / "submitted"
    return Job(submit(cluster.environment, str(study), "--storage", str(results)), results)


def by_ray(cluster: Head, *arguments: str, **environment: str) -> Job:
    """Submit as Ray's documentation says, and as ours does."""
    command = [RAY, "job", "submit", "--working-dir", ".", "--", "python", "jobs/sweep.py"]
    done = call({**cluster.environment, **environment}, [*command, *arguments])
    return Job(done, Path(arguments[-1].partition("=")[2]))


def test_a_submitted_study_succeeds_and_shows_its_leaderboard(submitted: Job) -> None:
    assert submitted.done.returncode == 0, submitted.done.stdout + submitted.done.stderr
    assert re.search(r"^sends    \d+ files, \d\.\d MiB$", submitted.done.stdout, re.MULTILINE)
    assert "adamerging" in submitted.done.stdout.partition("Leaderboard of tiny")[2]
    assert submitted.done.stdout.endswith("job      tiny-1 SUCCEEDED\n")


def test_a_submitted_study_has_the_rows_of_this_process(submitted: Job, rows: pd.DataFrame) -> None:
    assert_same(submitted.results, rows)


def test_a_study_submitted_by_ray_alone_has_the_same_rows(
    cluster: Head, study: Path, rows: pd.DataFrame
) -> None:
    job = by_ray(cluster, str(study), f"storage={study.parent / 'by_ray'}")
    assert re.search(r"Job '.*' succeeded", job.done.stdout), job.done.stdout
    assert_same(job.results, rows)


def test_a_study_that_is_wrong_fails_with_its_message_in_the_log(
    cluster: Head, study: Path
) -> None:
    done = by_ray(cluster, str(study), "sed=1").done
    assert done.returncode == 1
    assert "sed: unknown key; did you mean 'seed'?" in done.stdout + done.stderr


def test_a_job_that_fails_gives_the_exit_code_of_its_driver(cluster: Head, study: Path) -> None:
    changed = submit(cluster.environment, str(study), "study=broken", "ray.actor_gpus=1")
    assert changed.returncode == 2
    assert "actor" in changed.stdout
    assert changed.stdout.endswith("job      broken-1 FAILED\n")


def test_the_cluster_refuses_who_has_another_token(cluster: Head) -> None:
    done = by_ray(cluster, "--help", RAY_AUTH_TOKEN="b" * 64).done
    assert done.returncode != 0
    assert "Authentication failed" in done.stdout + done.stderr


def test_we_name_the_token_that_a_cluster_does_not_know(cluster: Head, study: Path) -> None:
    done = submit({**cluster.environment, "RAY_AUTH_TOKEN": "b" * 64}, str(study))
    assert done.returncode == 2
    assert "the cluster has another token than RAY_AUTH_TOKEN" in done.stderr


class Story(NamedTuple):
    """A sweep that is left alone, stopped and submitted again."""

    left: str
    second: "subprocess.CompletedProcess[str]"
    stopped: "subprocess.CompletedProcess[str]"
    again: Job


@pytest.fixture(scope="module")
def story(cluster: Head, study: Path) -> Story:
    """Press Ctrl-C in the middle, submit a second time, stop the job, submit again."""
    results = study.parent / "stopped"
    arguments = [str(study), f"storage={results}"]
    with subprocess.Popen(
        [sys.executable, "-m", "distmerge.cli", "submit", *arguments],
        env=cluster.environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        wait_for_state(results)
        following.send_signal(signal.SIGINT)
        left, _ = following.communicate(timeout=PATIENCE_S)
        assert following.returncode == 130
    second = submit(cluster.environment, *arguments)
    found = re.search(r"^job      (\S+);", left, re.MULTILINE)
    assert found, left
    stopped = call(cluster.environment, [RAY, "job", "stop", found[1]])
    return Story(left, second, stopped, Job(submit(cluster.environment, *arguments), results))


def test_ctrl_c_leaves_the_job_alone_and_says_how_to_follow_it(story: Story) -> None:
    assert re.search(
        r"^job tiny-\d goes on; stop it: ray job stop --addr", story.left, re.MULTILINE
    )
    assert "Leaderboard" not in story.left


def test_a_study_that_a_job_runs_is_not_submitted_twice(story: Story) -> None:
    assert story.second.returncode == 2
    assert "runs it already" in story.second.stderr


def test_a_stopped_job_submitted_again_ends_with_the_same_rows(
    story: Story, rows: pd.DataFrame
) -> None:
    assert "was stopped" in story.stopped.stdout, story.stopped.stdout
    done = story.again.done
    assert done.returncode == 0, done.stdout + done.stderr
    assert_same(story.again.results, rows)
