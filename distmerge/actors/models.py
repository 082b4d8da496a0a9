"""The port to the individual models, on Ray."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from distmerge.actors.features import FeatureBank
from distmerge.actors.pool import Member, answer
from distmerge.methods.contract import CoefficientGradient, Draw, Facts
from distmerge.methods.losses import SampleLoss
from distmerge.tasks import Role


@dataclass(frozen=True)
class RayModels:
    """Facts from the driver's bank, gradients from the task actors in parallel."""

    bank: FeatureBank
    members: tuple[Member, ...]
    tasks: tuple[str, ...]
    timeout_s: float

    def facts(self, model: str, task: str, role: Role) -> Facts:
        """Give what ``model`` says about a task's images."""
        return next(self.bank[key] for key in self.bank if key[:3] == (model, task, role))

    def gradient(
        self, coefficients: Float64[Tensor, "task segment"], draw: Draw, loss: SampleLoss
    ) -> CoefficientGradient:
        """Give the sums over actors, each of which handles the tasks that it pins.

        Partial sums are added in float64 and in a fixed order, so the answer does not depend on
        which actor is first; the number of actors changes it by rounding alone.

        Raises:
            DivergenceError: a loss is not finite.
            WorkerTimeoutError: an actor does not answer in time.
        """
        shares = [[task for task in self.tasks if task in m.models] for m in self.members]
        array = coefficients.numpy()
        calls: list[tuple[Any, list[str]]] = [
            (member.actor.gradient.remote(array, draw, loss, share), share)
            for member, share in zip(self.members, shares, strict=True)
            if share
        ]
        total, values = 0.0, np.zeros(array.shape)
        for call, share in calls:
            part, gradient = answer(call, self.timeout_s, f"gradient of {share}")
            total += part
            values += gradient
        return CoefficientGradient(total, torch.from_numpy(values))
