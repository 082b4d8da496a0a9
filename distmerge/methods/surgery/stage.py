"""Learn per task ``f' = f - U relu(V f)`` on cached features of both encoders."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from distmerge.methods.contract import IndividualModels, MergedModel, Plan, Problem, Scope
from distmerge.methods.surgery import Surgery
from distmerge.models import Head, initialised
from distmerge.tasks import batch_indices


@dataclass(frozen=True)
class LowRankCorrection:
    """``f' = f - up @ relu(down @ f)``; ``up`` starts at zero, so that it starts as identity."""

    down: Float[Tensor, "rank feature"]
    up: Float[Tensor, "feature rank"]

    def __call__(
        self, features: Float[Tensor, "sample feature"]
    ) -> Float[Tensor, "sample feature"]:
        """Give the corrected features. Source: arXiv:2402.02705, eq. 4."""
        return features - (features @ self.down.T).relu() @ self.up.T

    def state(self) -> dict[str, Tensor]:
        """Give both matrices."""
        return {"down": self.down.detach(), "up": self.up.detach()}


def build(hyper: Surgery, model: MergedModel, scope: Scope) -> Plan:
    """Plan one independent problem per task; the tower stays as it is.

    Departs: one Adam per task. The reference shares one, whose momentum moves idle tasks
    (algorithms.md 3.5).
    """
    problems, corrections = [], {}
    for task in model.vectors.tasks:
        merged = scope.features(model, task).clone()
        individual = scope.models.facts(task, task, "adapt").features.to(merged.device)
        correction = initial_correction(hyper.rank, merged.shape[1], scope.seed, task)
        correction = LowRankCorrection(
            correction.down.to(merged.device).requires_grad_(),
            correction.up.to(merged.device).requires_grad_(),
        )
        corrections[task] = correction
        draw = partial(
            batch_indices, scope.seed, task, size=hyper.batch_size, available=len(merged)
        )
        problems.append(
            Problem(
                name=f"surgery of {task}",
                parameters=(correction.down, correction.up),
                steps=hyper.steps,
                lr=hyper.lr,
                backward=partial(_backward, correction, merged, individual, draw),
                checks=hyper,
                images=hyper.batch_size,
                score=partial(
                    _agreement,
                    scope.models,
                    task,
                    model.head(task),
                    correction,
                    merged[: hyper.check_images],
                ),
            )
        )
    return Plan(tuple(problems), lambda: replace(model, corrections=corrections))


def initial_correction(rank: int, width: int, seed: int, task: str) -> LowRankCorrection:
    """Give the identity: ``down`` is Kaiming-uniform with ``a = sqrt(5)``, ``up`` is zero."""
    linear = initialised(lambda: nn.Linear(width, rank, bias=False), seed, task, "surgery")
    return LowRankCorrection(linear.weight.detach(), torch.zeros(width, rank))


def representation_bias(
    features: Float[Tensor, "sample feature"], target: Float[Tensor, "sample feature"]
) -> Float[Tensor, ""]:
    """Give the mean absolute difference. Source: arXiv:2402.02705, eq. 2."""
    return (features - target).abs().mean()


def _backward(
    correction: LowRankCorrection,
    merged: Float[Tensor, "sample feature"],
    individual: Float[Tensor, "sample feature"],
    draw: Callable[[int], object],
    step: int,
) -> float:
    index = torch.as_tensor(draw(step))
    loss = representation_bias(correction(merged[index]), individual[index])
    loss.backward()
    return loss.item()


def _agreement(
    models: IndividualModels,
    task: str,
    head: Head,
    correction: LowRankCorrection,
    merged: Float[Tensor, "sample feature"],
) -> float:
    """Give the share of the first adapt images on which corrected and individual model agree."""
    own = models.facts(task, task, "adapt").logits[: len(merged)].argmax(dim=1)
    with torch.no_grad():
        found = head(correction(merged)).argmax(dim=1).cpu()
    return (found == own).double().mean().item()
