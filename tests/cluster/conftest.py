"""A head that takes jobs, and the study that all clusters here run."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from distmerge.spec import ModelFiles
from distmerge.sweep import run_sweep
from tests.cluster.hosts import Head, head
from tests.faults.drivers import LONG
from tests.faults.rows import final_rows
from tests.sweep.studies import console, study_of, written

# Long enough for a person to look at a job, press Ctrl-C, and submit it again while it runs.
LONGER = {**LONG, "adamerging.steps": 2000}
PIPELINES: list[dict[str, Any]] = [
    {"stages": ["weight_averaging"]},
    {"stages": ["task_arithmetic"], "trials": 2},
    {"stages": ["adamerging"], "settings": LONGER},
]
STUDY = {"pipelines": PIPELINES, "ray": {"max_concurrent": 1, "actors": 1}, "checkpoint_s": 0}


@pytest.fixture(scope="package")
def short() -> Iterator[Path]:
    """A folder whose path is short: Ray puts sockets there."""
    with tempfile.TemporaryDirectory(prefix="dm-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="package")
def study(world: ModelFiles, short: Path) -> Path:
    """A study file whose runs take seconds; results go beside it unless told otherwise."""
    return written(world, short, **STUDY)


@pytest.fixture(scope="module")
def cluster(short: Path) -> Iterator[Head]:
    """A head of two cores on loopback."""
    with head(short, "--num-cpus=2") as running:
        yield running


@pytest.fixture(scope="package")
def rows(world: ModelFiles, short: Path) -> pd.DataFrame:
    """What the study gives in this process."""
    here = study_of(world, short / "here", **{**STUDY, "ray": False})
    run_sweep(here, console())
    return final_rows(here.storage)


def assert_same(results: Path, expected: pd.DataFrame) -> None:
    """Check that a dataset has the expected rows, each once."""
    rows = final_rows(str(results))
    pd.testing.assert_frame_equal(rows, expected, rtol=1e-5, atol=1e-6)
    assert len(pd.read_parquet(results, filters=[("status", "==", "ok")])) == len(rows)
