"""Learn coefficients and a layer per task from the individual models' labels, jointly."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor
from torch.nn.functional import cross_entropy

from distmerge.errors import ConfigError
from distmerge.methods.contract import (
    HEAD,
    Draw,
    Gradient,
    MergedModel,
    Plan,
    Point,
    Problem,
    Scope,
)
from distmerge.methods.entropy import effective, reached
from distmerge.methods.losses import BatchLoss, Teacher, mean_entropy
from distmerge.methods.tinting import Tinting
from distmerge.models import address_seed
from distmerge.taskvectors import last_layer, merge_groups


def cross_pseudo(logits: Float[Tensor, "sample class"], teacher: Teacher) -> Float[Tensor, ""]:
    """Give the cross-entropy to the individual model's labels.

    Source: arXiv:2412.19098; algorithms.md 3.7, ``crosspseudo``.
    """
    return cross_entropy(logits, teacher.labels)


def confident_cross_pseudo(
    logits: Float[Tensor, "sample class"], teacher: Teacher
) -> Float[Tensor, ""]:
    """Give the cross-entropy to the individual model's labels, over the images that are kept.

    Source: arXiv:2412.19098; algorithms.md 3.7, ``crosspseudoconf``.
    Departs: where no image is kept the loss is a constant zero and nothing is moved; the authors'
    code takes the mean of nothing, which is NaN.
    """
    keep = kept(logits, teacher)
    if not bool(keep.any()):
        return logits.new_zeros(())
    return cross_entropy(logits[keep], teacher.labels[keep])


def kept(logits: Float[Tensor, "sample class"], teacher: Teacher) -> Bool[Tensor, " sample"]:
    """Give where both models agree, or the individual one is at least as confident."""
    confidence, labels = logits.detach().softmax(dim=-1).max(dim=-1)
    return (labels == teacher.labels) | (teacher.confidence >= confidence)


LOSSES: Mapping[str, BatchLoss] = {
    "crosspseudo": cross_pseudo,
    "crosspseudoconf": confident_cross_pseudo,
    "entropy": mean_entropy,
}


def build(hyper: Tinting, model: MergedModel, scope: Scope) -> Plan:
    """Plan the joint training of coefficients and own layers.

    Departs: a layer without a gradient in a step is not moved; with the authors' torch its Adam
    moves on by momentum (algorithms.md 3.7).
    """
    groups = merge_groups(model.vectors.layout, hyper.grouping)
    tasks = model.vectors.tasks
    raw = torch.full((len(tasks), len(groups.names)), hyper.init, dtype=torch.float64)
    start = model.merged(groups.spread(raw))
    own = {task: tinted_tensors(start, task, hyper.layer) for task in tasks}

    def coefficients() -> Float64[Tensor, "task group"]:
        return effective(raw, "clamp")

    def result() -> MergedModel:
        return replace(model.merged(groups.spread(coefficients())), own=own)

    def backward(step: int) -> float:
        point = Point(model.vectors, groups.spread(coefficients()), own)
        gradient = scope.models.gradient(
            point, _draw(hyper, scope, tasks, step), LOSSES[hyper.loss]
        )
        if gradient.own:
            raw.grad = groups.gather(gradient.coefficients) * reached(raw, "clamp")
        _leave_gradients(own, gradient)
        return gradient.loss

    layers = tuple(tensor for named in own.values() for tensor in named.values())
    problem = Problem(
        name="coefficients and own layers",
        parameters=(raw, *layers),
        steps=hyper.steps * (len(tasks) if hyper.schedule == "sequential" else 1),
        lr=(hyper.coefficient_lr, *[hyper.lr] * len(layers)),
        backward=backward,
        checks=hyper,
        score=lambda: scope.agreement(result(), hyper.check_images),
        images=hyper.batch_size * (1 if hyper.schedule == "sequential" else len(tasks)),
        coefficients=coefficients,
        groups=groups.names,
    )
    return Plan((problem,), result)


def tinted_tensors(model: MergedModel, task: str, layer: str) -> dict[str, Tensor]:
    """Give a task's own copy of a layer: of its head, or of the merged tower's last block.

    Raises:
        ConfigError: the tower has no such layer.
    """
    if layer == "head":
        head = model.heads[task]
        return {f"{HEAD}weight": head.weight.clone(), f"{HEAD}bias": head.bias.clone()}
    weights = model.vectors.layout.unflatten(model.weights)
    names = last_layer(tuple(weights), layer)
    if not names:
        raise ConfigError(f"tinting.layer: the tower has no {layer}; set tinting.layer: head")
    return {name: weights[name].clone() for name in names}


def _draw(hyper: Tinting, scope: Scope, tasks: tuple[str, ...], step: int) -> Draw:
    if hyper.schedule == "joint":
        return Draw(scope.seed, step, hyper.batch_size, 1)
    turn, position = divmod(step, len(tasks))
    generator = torch.Generator().manual_seed(address_seed(scope.seed, "order", turn))
    order = torch.randperm(len(tasks), generator=generator).tolist()
    return Draw(scope.seed, turn, hyper.batch_size, 1, (tasks[order[position]],))


def _leave_gradients(own: Mapping[str, Mapping[str, Tensor]], gradient: Gradient) -> None:
    for task, named in gradient.own.items():
        for name, value in named.items():
            own[task][name].grad = value
