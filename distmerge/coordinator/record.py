"""What the rows of one study have in common."""

import json
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import torch

from distmerge import __version__
from distmerge.coordinator.digests import Digests
from distmerge.coordinator.world import Material
from distmerge.results import RunRecord
from distmerge.spec import Study


def blank_record(study: Study, material: Material, digests: Digests) -> RunRecord:
    """Give a record with all that does not depend on the run; the rest is to be replaced."""
    return RunRecord(
        run_id="",
        study=study.study,
        stages="",
        seed=0,
        trial_id="",
        attempt=0,
        status="ok",
        error=None,
        protocol=study.protocol,
        step=0,
        num_tasks=len(material.tasks),
        backbone=material.config.backbone,
        base_digest=digests.base,
        checkpoint_digests=json.dumps(list(digests.checkpoints.values())),
        data_digest=digests.images,
        bank=digests.bank,
        precision=study.precision,
        adapt_images=sum(len(task.adapt) for task in material.tasks),
        wall_s=0.0,
        gpu_s=0.0,
        peak_memory_bytes=0,
        started_at=datetime.now(UTC),
        package_version=__version__,
        git_commit=_git_commit(),
        torch_version=torch.__version__,
        hyper={},
        metrics=(),
    )


@cache
def _git_commit() -> str | None:
    """Give the commit of a checkout; None for an installed package."""
    folder = Path(__file__).parents[2]
    if not (folder / ".git").exists():
        return None
    answer = subprocess.run(  # noqa: S603  # fixed arguments
        ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"],  # noqa: S607  # git from PATH
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    return answer.stdout.strip() or None
