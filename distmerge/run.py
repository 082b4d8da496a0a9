"""The main path on one page, without Ray: from a run's stages to its metrics."""

import resource
import sys
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
from distmerge.evaluation import (
    Labels,
    clean_metrics,
    corrupted_metrics,
    select_metrics,
    unseen_metrics,
)
from distmerge.methods.contract import PRETRAINED, IndividualModels, Model
from distmerge.results import Metric, RunRecord
from distmerge.spec import RunConfig, Study, Value, digest
from distmerge.tasks import Role, corruption_of
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
) -> tuple[Model, RunRecord]:
    """Merge, adapt and evaluate: everything that one run is.

    Raises:
        DivergenceError: an optimisation diverged.
    """
    assert config.seed == session.study.seed, "a run's identity names the study's seed"
    if session.vectors.base.is_cuda:
        torch.cuda.reset_peak_memory_stats()
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
    labels = {task.name: torch.from_numpy(task.report.labels) for task in tasks}
    clean = clean_metrics({task.name: logits(task.name, "report") for task in tasks}, labels)
    return (*select, *clean, *_corrupted(session, logits, labels), *_unseen(session, logits))


def _corrupted(session: Session, logits: LogitsOf, labels: Labels) -> tuple[Metric, ...]:
    seed, tasks = session.study.corruption_seed, session.material.tasks
    rows: list[Metric] = []
    for level in session.study.levels:
        names = {
            task.name: [
                corruption_of(seed, task.name, index, level).name
                for index in range(len(task.report))
            ]
            for task in tasks
        }
        found = {task.name: logits(task.name, level) for task in tasks}
        rows += corrupted_metrics(level, found, labels, names)
    return tuple(rows)


def _unseen(session: Session, logits: LogitsOf) -> tuple[Metric, ...]:
    tasks = session.material.unseen
    if not tasks:
        return ()
    return unseen_metrics(
        {task.name: logits(task.name, "report") for task in tasks},
        {task.name: torch.from_numpy(task.report.labels) for task in tasks},
    )


def _known(session: Session, model: str, task: str, role: Role) -> Float[Tensor, "image class"]:
    return session.models.facts(model, task, role).logits


def _peak_memory(*, on_gpu: bool) -> int:
    """Give the most bytes held: of the GPU in this run, or of memory since the process began."""
    if on_gpu:
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
