"""Learn ``lambda[k, l]`` by minimising the entropy of unlabelled predictions."""

import torch
from jaxtyping import Float64
from torch import Tensor

from distmerge.methods.adaptation import CoefficientAdaptation
from distmerge.methods.contract import Draw, MergedModel, Plan, Point, Problem, Scope
from distmerge.methods.losses import mean_entropy, mean_relative_entropy
from distmerge.taskvectors import merge_groups


def adapt_coefficients(hyper: CoefficientAdaptation, model: MergedModel, scope: Scope) -> Plan:
    """Plan the adaptation of all coefficients in one problem.

    Source: arXiv:2310.02575, eqs. 3-6; algorithms.md 3.4. The gradient of a coefficient is
    ``<dLoss/dtheta_l, tau_k,l>``, formed where the images are.
    """
    groups = merge_groups(model.vectors.layout, hyper.grouping)
    shape = (len(model.vectors.tasks), len(groups.names))
    raw = torch.full(shape, hyper.init, dtype=torch.float64)
    loss = mean_entropy if hyper.entropy == "plain" else mean_relative_entropy

    def coefficients() -> Float64[Tensor, "task group"]:
        return effective(raw, hyper.projection)

    def current() -> MergedModel:
        return model.merged(groups.spread(coefficients()))

    def backward(step: int) -> float:
        draw = Draw(scope.seed, step, hyper.batch_size, hyper.batches)
        point = Point(model.vectors, groups.spread(coefficients()))
        gradient = scope.models.gradient(point, draw, loss)
        raw.grad = groups.gather(gradient.coefficients) * reached(raw, hyper.projection)
        return gradient.loss

    def project() -> None:
        if hyper.projection == "project":
            raw.clamp_(0, 1)

    problem = Problem(
        name="coefficients",
        parameters=(raw,),
        steps=hyper.steps,
        lr=hyper.lr,
        backward=backward,
        project=project,
        checks=hyper,
        score=lambda: scope.agreement(current(), hyper.check_images),
        images=hyper.images_per_step * len(scope.adapt),
        coefficients=coefficients,
        groups=groups.names,
    )
    return Plan((problem,), current)


def effective(raw: Float64[Tensor, "task group"], projection: str) -> Float64[Tensor, "task group"]:
    """Give the coefficients that the merge uses."""
    return raw.clamp(0, 1) if projection == "clamp" else raw.clone()


def reached(raw: Float64[Tensor, "task group"], projection: str) -> Float64[Tensor, "task group"]:
    """Give the derivative of ``effective``: with clamp 1 inside and on [0, 1], 0 outside."""
    if projection == "clamp":
        return ((raw >= 0) & (raw <= 1)).double()
    return torch.ones_like(raw)
