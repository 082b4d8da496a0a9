"""What one attempt at one run leaves behind."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias

from distmerge.spec import Value

Status: TypeAlias = Literal["ok", "error", "pruned"]


class Metric(NamedTuple):
    """One measured number."""

    suite: str
    """What was measured on: adapt, select, clean, corrupted or unseen."""
    task: str
    """Name of the task, or ``mean`` for the plain mean of the tasks."""
    metric: str
    """What was measured, such as ``accuracy``."""
    value: float
    corruption: str | None = None
    severity: int | None = None
    level: str | None = None


@dataclass(frozen=True)
class RunRecord:
    """One attempt at one run: what was asked for, what it ran on, what came out."""

    run_id: str
    """Hash of study, configuration and seed; never the trial id, which changes on a restart."""
    study: str
    stages: str
    """Names of the stages joined by ``+``."""
    seed: int
    trial_id: str
    attempt: int
    """Counts the attempts at this run; the same attempt stored twice leaves one file."""
    status: Status
    error: str | None
    """What went wrong, for the user; ``None`` unless the status is ``error``."""
    protocol: str
    step: int
    """Optimiser steps of all stages and tasks."""
    num_tasks: int
    backbone: str
    base_digest: str
    checkpoint_digests: str
    """JSON list, one digest per task."""
    data_digest: str
    bank: str
    """How task vectors were held; it rounds them."""
    precision: str
    """What adaptation steps computed the tower in."""
    adapt_images: int
    wall_s: float
    gpu_s: float
    peak_memory_bytes: int
    started_at: datetime
    """With its time zone; stored in UTC."""
    package_version: str
    git_commit: str | None
    torch_version: str
    hyper: Mapping[str, Value]
    """Every hyperparameter of the stages, as ``method.field``."""
    metrics: tuple[Metric, ...]
    pictures: bytes = b""
    """What a report shows beside the metrics: safetensors, or nothing. No column of the rows."""
