"""The same study on clusters of several shapes, and on one that loses a node and gets another."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pytest

from distmerge.spec import ModelFiles
from tests.faults.conftest import short_folder
from tests.faults.drivers import ROOT, TASK_ACTOR, TRIAL, Sweep, parent
from tests.faults.nodes import Nodes, nodes
from tests.faults.rows import assert_same, final_rows
from tests.world import build_world

pytestmark = [pytest.mark.slow, pytest.mark.ray]
STEPS = {"adamerging.steps": 200, "adamerging.batch_size": 4}
PIPELINES: list[dict[str, Any]] = [
    {"stages": ["task_arithmetic"], "trials": 2},
    {"stages": ["adamerging"], "settings": STEPS},
]
COUNTED = {"device": "cpu", "max_concurrent": 1, "timeout_s": 200.0}
TWO_MODELS_GB = 0.00017
"""Of a GPU's memory: what two of these models and the activations take."""


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """Eight models, and the pretrained one makes nine."""
    return build_world(tmp_path_factory.mktemp("eight"), num_tasks=8)


@contextmanager
def sweep_of(files: ModelFiles, **ray: Any) -> Iterator[Sweep]:
    with short_folder() as folder:
        environment = {"DISTMERGE_CACHE": str(folder / "cache")}
        layout = {**COUNTED, **ray} if ray.pop("on", True) else False
        sweep = Sweep(folder, files, environment, pipelines=PIPELINES, ray=layout)
        try:
            yield sweep
        finally:
            sweep.end()


@pytest.fixture(scope="module")
def here(eight: ModelFiles) -> pd.DataFrame:
    """The rows of a sweep in one process, without Ray."""
    with sweep_of(eight, on=False) as sweep:
        sweep.start()
        assert sweep.exit_code() == 0, sweep.said()
        return final_rows(sweep.study.storage)


def models_per_actor(sweep: Sweep, cluster: Nodes) -> list[list[int]]:
    """Give by node what a plan says: the models of every actor there, those of most first."""
    done = subprocess.run(
        [sys.executable, "jobs/sweep.py", sweep.folder / "study.yaml", "--plan"],
        cwd=ROOT,
        env={**sweep.environment, "RAY_ADDRESS": cluster.address, "RAY_TMPDIR": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split("  ")[-1].strip() for line in done.stdout.splitlines()]
    rows = lines[1 + next(i for i, line in enumerate(lines) if "actors and their" in line) :]
    rows = rows[: next(i for i, row in enumerate(rows) if row.startswith("trials at"))]
    groups = [row.split("; ") for row in rows if row != "none"]
    return sorted(sorted((len(g.split(", ")) for g in row), reverse=True) for row in groups)


@pytest.mark.parametrize(
    ("offers", "ray", "expected"),
    [
        (["3,2"] * 4, {}, [[1, 1], [1, 1], [1, 1], [2, 1]]),
        (["6,2", "6,1"], {}, [[3], [3, 3]]),
        (["6,2", "6,1"], {"gpu_memory_gb": TWO_MODELS_GB, "trial_gpus": 0}, [[3], [3, 3]]),
        (["3", "3"], {}, [[2, 1, 1], [2, 2, 1]]),
    ],
    ids=["four nodes of two GPUs", "three GPUs", "three GPUs of little memory", "no GPU"],
)
def test_every_shape_gives_the_rows_of_one_process(
    offers: list[str],
    ray: dict[str, Any],
    expected: list[list[int]],
    eight: ModelFiles,
    here: pd.DataFrame,
) -> None:
    with sweep_of(eight, **ray) as sweep, nodes(str(sweep.folder), *offers) as cluster:
        assert models_per_actor(sweep, cluster) == expected
        sweep.start(RAY_ADDRESS=cluster.address, RAY_TMPDIR="")
        actors = sum(map(len, expected))
        sweep.wait_for_line(f"{actors} actors pin 9 models")
        raylets = Counter(parent(pid) for pid in cluster.workers(TASK_ACTOR))
        assert sorted(raylets.values()) == sorted(map(len, expected))
        assert sweep.exit_code() == 0, sweep.said()
        assert_same(sweep.study.storage, here)


def test_features_of_a_node_that_nothing_replaces_come_from_the_others(
    eight: ModelFiles, here: pd.DataFrame
) -> None:
    with sweep_of(eight, actors=2, actor_cpus=2) as sweep:
        with nodes(str(sweep.folder), 2, 2) as cluster:
            sweep.start(RAY_ADDRESS=cluster.address, RAY_TMPDIR="")
            sweep.wait_for_line("features 5/")
            raylet = parent(cluster.workers(TASK_ACTOR)[-1])
            assert cluster.tell(f"remove {raylet}") == "removed"
            sweep.wait_for_line("1 of 2 actors are there: ")
            assert sweep.exit_code() == 0, sweep.said()
        assert_same(sweep.study.storage, here)


def test_actors_that_compute_gradients_follow_the_nodes(
    eight: ModelFiles, here: pd.DataFrame
) -> None:
    """Two actors and a trial; then an actor and a trial; then as before."""
    with sweep_of(eight, gradient="actors", actors=2) as sweep:
        with nodes(str(sweep.folder), 2, 1) as cluster:
            sweep.start(RAY_ADDRESS=cluster.address, RAY_TMPDIR="")
            sweep.wait_for_state()
            trial = parent(cluster.workers(TRIAL)[-1])
            away = {parent(pid) for pid in cluster.workers(TASK_ACTOR)} - {trial}
            assert cluster.tell(f"remove {away.pop()}") == "removed"
            sweep.wait_for_line("1 of 2 actors are there: ")
            assert cluster.tell("add 1") == "added"
            sweep.wait_for_line("2 of 2 actors are there: ")
            assert sweep.exit_code() == 0, sweep.said()
        assert_nearly_same(final_rows(sweep.study.storage), here)


def test_a_trial_whose_node_is_lost_has_the_room_of_an_actor(
    eight: ModelFiles, here: pd.DataFrame
) -> None:
    """An actor and a trial, and two actors; then an actor and a trial; then as before."""
    with sweep_of(eight, gradient="actors", actors=3) as sweep:
        with nodes(str(sweep.folder), 2, 2) as cluster:
            sweep.start(RAY_ADDRESS=cluster.address, RAY_TMPDIR="")
            sweep.wait_for_state()
            raylet = parent(cluster.workers(TRIAL)[-1])
            assert cluster.tell(f"remove {raylet}") == "removed"
            sweep.wait_for_line("1 of 1 actors are there: ")
            assert cluster.tell("add 2") == "added"
            sweep.wait_for_line("3 of 3 actors are there: ")
            assert sweep.exit_code() == 0, sweep.said()
        assert_nearly_same(final_rows(sweep.study.storage), here)


def assert_nearly_same(rows: pd.DataFrame, here: pd.DataFrame) -> None:
    same = [name for name in rows if name != "value"]
    pd.testing.assert_frame_equal(rows[same], here[same])
    assert rows["value"].to_numpy() == pytest.approx(here["value"].to_numpy(), abs=1e-3)
