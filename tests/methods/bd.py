"""Short runs of BD-Merging on the tiny world."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from distmerge.methods.bd_merging import BDMerging
from distmerge.methods.bd_merging.model import (
    RoutedModel,
)
from distmerge.methods.bd_merging.stage import build
from distmerge.methods.contract import (
    MergedModel,
    Model,
    RoutedPlan,
    Scope,
)
from distmerge.run import Session
from distmerge.spec import Value
from tests.coordinator.sessions import (
    config_of,
    learned_by,
)

QUICK: Mapping[str, Value] = {
    "head_steps": 6,
    "warm_up": 6,
    "views": 0,
    "steps": 6,
    "batch_size": 4,
}


def learned(session: Session, values: Mapping[str, Value], *, seed: int = 0) -> Model:
    settings = {f"bd_merging.{k}": v for k, v in {**QUICK, **values}.items()}
    return learned_by(session, config_of(settings, "bd_merging", seed=seed)).model


def routed(session: Session, values: Mapping[str, Value]) -> RoutedModel:
    model = learned(session, values)
    assert isinstance(model, RoutedModel)
    return model


def base_of(session: Session) -> MergedModel:
    material = session.material
    return MergedModel.pretrained(material.tower, session.vectors, material.heads)


def scope_of(session: Session) -> Scope:
    adapt = {task.name: task.adapt for task in session.material.tasks}
    return Scope(session.models, adapt, lambda *_: torch.zeros(1, 1), lambda *_: 0.0, 0)


def planned(session: Session, hyper: BDMerging) -> RoutedPlan:
    return build(hyper, base_of(session), scope_of(session))


def batch_of(session: Session, task: str = "alpha", size: int = 12) -> Tensor:
    images = session.material.task(task).report.samples
    return images.batch(np.arange(size), session.material.config.preprocess)
