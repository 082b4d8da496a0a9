import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float, Int64
from torch import Tensor

from distmerge.coordinator import (
    FeatureBlock,
    LocalModels,
    Material,
    TaskWorker,
    coefficient_gradient,
)
from distmerge.errors import CapacityError, CheckpointError, DivergenceError
from distmerge.methods.contract import PRETRAINED, CoefficientGradient, Draw, Facts
from distmerge.methods.losses import SampleLoss, softmax_entropy
from distmerge.models import Head, load_state
from distmerge.run import Session
from distmerge.spec import ModelFiles, Preprocess
from distmerge.tasks import Images, Role, batch_indices
from distmerge.taskvectors import TaskVectors, merge
from tests.coordinator.sessions import config_of, merged_by, session_of, source_of

DRAW = Draw(seed=0, step=3, batch_size=4, batches=2)
START = torch.full((3, 32), 0.3, dtype=torch.float64)
SPLITS = {
    "one": [["alpha", "beta", "gamma"]],
    "two": [["alpha", "gamma"], ["beta"]],
    "three": [["alpha"], ["beta"], ["gamma"]],
}


class DoubleImages(Images):
    """Images in float64, in which sums are exact enough to compare."""

    def batch(
        self, indices: Int64[np.ndarray, " batch"], preprocess: Preprocess
    ) -> Float[Tensor, "batch 3 size size"]:
        return super().batch(indices, preprocess).double()


@dataclass(frozen=True)
class SplitModels:
    """The port where the tasks of a gradient are shared out; facts as they are."""

    session: Session
    shares: Sequence[Sequence[str]]

    def facts(self, model: str, task: str, role: Role) -> Facts:
        return self.session.models.facts(model, task, role)

    def gradient(self, coefficients: Tensor, draw: Draw, loss: SampleLoss) -> CoefficientGradient:
        parts = parts_of(self.session.material, self.session.vectors, coefficients, self.shares)
        return summed([part(draw, loss) for part in parts])


def parts_of(
    material: Material, vectors: TaskVectors, coefficients: Tensor, shares: Sequence[Sequence[str]]
) -> list["Part"]:
    return [Part(material, vectors, coefficients, share) for share in shares]


@dataclass(frozen=True)
class Part:
    """One worker's share of a gradient."""

    material: Material
    vectors: TaskVectors
    coefficients: Tensor
    tasks: Sequence[str]

    def __call__(self, draw: Draw, loss: SampleLoss) -> CoefficientGradient:
        return coefficient_gradient(
            self.material, self.vectors, self.coefficients, draw, loss, self.tasks
        )
