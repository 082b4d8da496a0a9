"""A sweep on Ray with results and features on S3, in a process of its own: as a user starts it."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import pytest

from distmerge.spec import ModelFiles
from distmerge.sweep import run_sweep
from tests.storage.clients import environment_of, keys
from tests.storage.server import WRITER, needs_s3
from tests.sweep.studies import console, rows_of, study_of, written

pytestmark = [needs_s3, pytest.mark.ray, pytest.mark.slow]
ROOT = Path(__file__).parents[2]


def test_a_sweep_on_ray_writes_the_rows_of_this_process_and_no_secret(
    bucket: str, s3_endpoint: str, world: ModelFiles, tmp_path: Path
) -> None:
    places = {"features": f"{bucket}/features"}
    here = study_of(world, tmp_path / "here", ray=False, **places)
    run_sweep(here, console())

    study = written(world, tmp_path, **places, ray={"max_concurrent": 1})
    command = [sys.executable, "jobs/sweep.py", str(study), f"storage={bucket}/results"]
    with tempfile.TemporaryDirectory(prefix="distmerge-ray-") as folder:
        environment = {
            **os.environ,
            **environment_of(WRITER, s3_endpoint),
            "DISTMERGE_CACHE": str(tmp_path / "another cache"),
            "RAY_TMPDIR": folder,
        }
        done = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, timeout=240, check=False
        )
        logs = [path for path in Path(folder).rglob("*") if path.is_file()]
        telling = [path.name for path in logs if WRITER.secret.encode() in path.read_bytes()]

    assert done.returncode == 0, done.stdout + done.stderr
    there = study_of(world, tmp_path).model_copy(update={"storage": f"{bucket}/results"})
    pd.testing.assert_frame_equal(rows_of(there), rows_of(here), rtol=1e-5, atol=1e-6)
    assert b"actors pin" not in done.stdout  # all features came from S3
    assert [key for key in keys(bucket) if key.endswith("/") and "/_" not in key] == []
    assert len(logs) > 5
    assert telling == []
    assert WRITER.secret.encode() not in done.stdout + done.stderr
