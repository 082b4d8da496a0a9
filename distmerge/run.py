"""The main path on one page, without Ray: from a run's stages to its metrics."""

import resource
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import torch

from distmerge import __version__
from distmerge.coordinator import (
    Album,
    Checkpoint,
    Digests,
    Material,
    Progress,
    blank_record,
    run_stages,
)
from distmerge.evaluation import (
    Exam,
    exam_metrics,
    nearest_centroid_metrics,
    one_expert_metrics,
    routed_exam_metrics,
)
from distmerge.methods.contract import PRETRAINED, IndividualModels, Model, Routed
from distmerge.results import Metric, RunRecord
from distmerge.spec import Hyper, RunConfig, Stage, Study, digest
from distmerge.taskvectors import TaskVectors

INDIVIDUAL = "individual"  # the reference of every task's own model
ONE_EXPERT = "one_expert"  # the reference of the one among them that does best on all tasks
NEAREST_CENTROID = "nearest_centroid"  # the reference that picks one of them for every image


@dataclass(frozen=True)
class Session:
    """A study's inputs, loaded, and the port to its individual models."""

    study: Study
    material: Material
    vectors: TaskVectors
    digests: Digests
    models: IndividualModels


def run(
    session: Session,
    config: RunConfig,
    observe: Callable[[Progress], None],
    checkpoint: Checkpoint | None = None,
) -> tuple[Model, RunRecord]:
    """Merge, adapt and evaluate: everything that one run is.

    A run that goes on from a checkpoint gives the same numbers; its time includes the earlier
    attempts'.

    Raises:
        CheckpointError: the state in ``checkpoint`` is not one of this run.
        DivergenceError: an optimisation diverged.
        ResultsError: the state cannot be saved.
    """
    checkpoint = checkpoint or Checkpoint.none()
    if session.vectors.base.is_cuda:
        torch.cuda.reset_peak_memory_stats()
    started_at = datetime.now(UTC)
    with checkpoint:
        merging = run_stages(
            config, session.material, session.vectors, session.models, observe, checkpoint
        )
        model = merging.model
        album = Album(session.material, model, session.models)
        metrics = _model_metrics(session, model, album)
    wall_s, on_gpu = checkpoint.wall_s, session.vectors.base.is_cuda
    record = replace(
        named_record(session, config),
        step=merging.steps,
        wall_s=wall_s,
        gpu_s=wall_s if on_gpu else 0.0,
        peak_memory_bytes=_peak_memory(on_gpu=on_gpu),
        started_at=started_at,
        metrics=(*merging.metrics, *metrics),
        pictures=album.pictures(merging.traces),
    )
    return model, record


def references(session: Session, done: Collection[str] = ()) -> tuple[RunRecord, ...]:
    """Give what every comparison needs beside merged models, from facts alone.

    Base and individual models; and where a method has crossed facts, what routing is up against.
    Those whose run id is in ``done`` are left out.
    """
    measures, seed = _measures(session), session.study.seed
    named = [named_record(session, reference_config(name, seed)) for name in measures]
    return tuple(
        replace(record, metrics=measures[record.stages]())
        for record in named
        if record.run_id not in done
    )


def named_record(session: Session, config: RunConfig) -> RunRecord:
    """Give the record of a run that has not been measured yet."""
    return replace(
        blank_record(session.study, session.material, session.digests),
        run_id=run_id(session.study, session.digests, config),
        stages=config.name,
        seed=config.seed,
        hyper=config.values(),
    )


def reference_config(name: str, seed: int) -> RunConfig:
    """Give the configuration of a reference: a name without settings."""
    return RunConfig((Stage(name, Hyper()),), seed)


def run_id(study: Study, digests: Digests, config: RunConfig) -> str:
    """Give the identity of a run: a hash of all that decides its numbers."""
    values = sorted(config.values().items())
    settings = [config.name, values, config.seed, study.protocol, study.select]
    settings += [study.precision] if study.precision != "float32" else []
    return digest([study.study, __version__, settings, digests.identity()])


def _model_metrics(session: Session, model: Model, album: Album) -> tuple[Metric, ...]:
    exam = _exam(session)
    if not isinstance(model, Routed):
        return exam_metrics(exam, album.logits)
    heads = {name: head.to("cpu") for name, head in model.heads.items()}
    return routed_exam_metrics(exam, album.answers, heads)


def _measures(session: Session) -> dict[str, Callable[[], tuple[Metric, ...]]]:
    """Give how every reference of the session is measured."""
    exam, models = _exam(session), session.models
    found: dict[str, Callable[[], tuple[Metric, ...]]] = {
        PRETRAINED: lambda: exam_metrics(exam, lambda t, r: models.facts(PRETRAINED, t, r).logits),
        INDIVIDUAL: lambda: exam_metrics(exam, lambda t, r: models.facts(t, t, r).logits),
    }
    if session.digests.crossed("report"):
        found[ONE_EXPERT] = lambda: one_expert_metrics(models, exam.labels)
        found[NEAREST_CENTROID] = lambda: nearest_centroid_metrics(models, exam.labels)
    return found


def _exam(session: Session) -> Exam:
    study, material = session.study, session.material
    return Exam(
        material.tasks,
        material.unseen,
        study.select,
        study.levels,
        study.corruption_seed,
        session.models,
    )


def _peak_memory(*, on_gpu: bool) -> int:
    """Give the most bytes held: of the GPU in this run, or of memory since the process began."""
    if on_gpu:
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
