"""Adaptation in bfloat16 beside float32 on real models: is it the same merge?"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import NamedTuple

from torch import Tensor

from benchmarks.rows import Row
from distmerge.coordinator import LocalModels
from distmerge.methods import HYPERS
from distmerge.methods.contract import MergedModel
from distmerge.results import MEAN
from distmerge.run import Session, run
from distmerge.spec import (
    ImageCounts,
    Pipeline,
    Precision,
    RunConfig,
    Study,
    Value,
    ZooModels,
    run_config,
)
from distmerge.sweep.prepare import load_inputs
from distmerge.sweep.serial import local_session

STEPS = 100
COEFFICIENTS, ACCURACY = 0.02, 0.003  # how far the two may be apart
_LOG = logging.getLogger(__name__)


class _Adapted(NamedTuple):
    wall_s: float
    coefficients: Tensor
    accuracy: float


def precision(steps: int = STEPS) -> Iterator[Row]:
    """Yield the time of a run on the built-in tiny zoo in bfloat16; the peer is float32.

    Raises:
        AssertionError: coefficients or accuracy are further apart than the issue allows.
    """
    with TemporaryDirectory(prefix="distmerge-precision-") as place:
        session = local_session(load_inputs(_study(place), _LOG.info), _LOG.info)
    pipeline = Pipeline(stages=("adamerging",))
    settings: dict[str, Value] = {
        "adamerging.steps": steps,
        "adamerging.batch_size": 8,
        "adamerging.batches": 1,
    }
    config = run_config(pipeline, settings, 0, HYPERS)
    exact = _adapted(session, config, "float32")
    rounded = _adapted(session, config, "bfloat16")
    apart = (exact.coefficients - rounded.coefficients).abs().max().item()
    lost = exact.accuracy - rounded.accuracy
    assert apart < COEFFICIENTS, f"coefficients differ by {apart:.3f}, allowed {COEFFICIENTS}"
    assert abs(lost) < ACCURACY, f"accuracy differs by {lost:.4f}, allowed {ACCURACY}"
    yield Row(
        f"AdaMerging on the tiny zoo, {steps} steps in bf16",
        rounded.wall_s,
        peer="ours in fp32",
        peer_s=exact.wall_s,
        note=f"coefficients at most {apart:.4f} apart, accuracy {100 * lost:+.2f} points lost",
    )


def _study(place: str) -> Study:
    pipelines = (Pipeline(stages=("adamerging",)),)
    images = ImageCounts(adapt=250, select=120, report=400)
    models = ZooModels(zoo="tiny")
    return Study(
        study="precision", models=models, pipelines=pipelines, images=images, storage=place
    )


def _adapted(session: Session, config: RunConfig, precision: Precision) -> _Adapted:
    _LOG.info("%d steps in %s", config.values()["adamerging.steps"], precision)
    assert isinstance(session.models, LocalModels)
    material = replace(session.material, precision=precision)
    told = replace(session, material=material, models=LocalModels(material, session.models.bank))
    model, record = run(told, config, lambda _progress: None)
    assert isinstance(model, MergedModel)
    found = {(m.suite, m.task, m.metric): m.value for m in record.metrics}
    return _Adapted(record.wall_s, model.coefficients, found["clean", MEAN, "accuracy"])
