"""The main path on one page, without Ray: from a run's stages to its metrics."""

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import torch
from jaxtyping import Float
from torch import Tensor

from distmerge import __version__
from distmerge.coordinator import (
    Digests,
    Material,
    Progress,
    blank_record,
    model_logits,
    run_stages,
)
from distmerge.evaluation import clean_metrics, select_metrics
from distmerge.methods.contract import PRETRAINED, IndividualModels, MergedModel
from distmerge.results import Metric, RunRecord
from distmerge.spec import RunConfig, Study, Value, digest
from distmerge.tasks import Role
from distmerge.taskvectors import TaskVectors

INDIVIDUAL = "individual"  # the reference of every task's own model
LogitsOf = Callable[[str, Role], Float[Tensor, "image class"]]


@dataclass(frozen=True)
class Session:
    """A study's inputs, loaded, and the port to its individual models."""

    study: Study
    material: Material
    vectors: TaskVectors
    digests: Digests
    models: IndividualModels


def run(
    session: Session, config: RunConfig, observe: Callable[[Progress], None]
) -> tuple[MergedModel, RunRecord]:
    """Merge, adapt and evaluate: everything that one run is.

    Raises:
        DivergenceError: an optimisation diverged.
    """
    assert config.seed == session.study.seed, "a run's identity names the study's seed"
    started_at, start = datetime.now(UTC), time.perf_counter()
    material = session.material
    model, steps = run_stages(config, material, session.vectors, session.models, observe)
    metrics = _metrics(session, lambda task, role: model_logits(material, model, task, role))
    wall_s, on_gpu = time.perf_counter() - start, session.vectors.base.is_cuda
    record = replace(
        named_record(session, config.name, config.values()),
        step=steps,
        wall_s=wall_s,
        gpu_s=wall_s if on_gpu else 0.0,
        peak_memory_bytes=_peak_memory(on_gpu=on_gpu),
        started_at=started_at,
        metrics=metrics,
    )
    return model, record


def references(session: Session) -> tuple[RunRecord, ...]:
    """Give the two anchors of every comparison, from facts alone: base and individual models."""
    return tuple(
        replace(named_record(session, name, {}), metrics=_metrics(session, logits))
        for name, logits in (
            (PRETRAINED, lambda task, role: _known(session, PRETRAINED, task, role)),
            (INDIVIDUAL, lambda task, role: _known(session, task, task, role)),
        )
    )


def named_record(session: Session, name: str, values: Mapping[str, Value]) -> RunRecord:
    """Give the record of a run that has not been measured yet."""
    return replace(
        blank_record(session.study, session.material, session.digests),
        run_id=run_id(session.study, session.digests, name, values),
        stages=name,
        hyper=dict(values),
    )


def run_id(study: Study, digests: Digests, name: str, values: Mapping[str, Value]) -> str:
    """Give the identity of a run: a hash of all that decides its numbers."""
    settings = [name, sorted(values.items()), study.seed, study.protocol, study.select]
    return digest([study.study, __version__, settings, digests.identity()])


def _metrics(session: Session, logits: LogitsOf) -> tuple[Metric, ...]:
    tasks = session.material.tasks
    select = select_metrics(
        {task.name: logits(task.name, "select") for task in tasks},
        {task.name: _known(session, task.name, task.name, "select") for task in tasks},
        lambda: {task.name: torch.from_numpy(task.select.labels) for task in tasks},
        session.study.select,
    )
    clean = clean_metrics(
        {task.name: logits(task.name, "report") for task in tasks},
        {task.name: torch.from_numpy(task.report.labels) for task in tasks},
    )
    return (*select, *clean)


def _known(session: Session, model: str, task: str, role: Role) -> Float[Tensor, "image class"]:
    return session.models.facts(model, task, role).logits


def _peak_memory(*, on_gpu: bool) -> int:
    """Give the most bytes that this process has held so far: of its GPU, or of its memory."""
    if on_gpu:
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
