"""The gradient of one adaptation step: one merge, forwards that tasks share, one contraction."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from math import isfinite

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from distmerge.coordinator.world import Material
from distmerge.errors import DivergenceError
from distmerge.methods.contract import (
    HEAD,
    Draw,
    Facts,
    Gradient,
    Own,
    Point,
    own_head,
    own_weights,
)
from distmerge.methods.losses import BatchLoss, Teacher
from distmerge.models import tasks_per_forward
from distmerge.tasks import ModelInput, batch_indices
from distmerge.taskvectors import Layout, contract, merge


class Workspace:
    """Flat vectors that steps use one after the other, so that each is allocated once."""

    def __init__(self) -> None:
        self._held: dict[str, Tensor] = {}

    def vector(
        self, name: str, like: Float[Tensor, " parameter"], dtype: torch.dtype
    ) -> Float[Tensor, " parameter"]:
        """Give a vector as long as ``like`` and where it is; its content is anything."""
        held = self._held.get(name)
        if held is None or (held.shape, held.dtype, held.device) != (
            like.shape,
            dtype,
            like.device,
        ):
            held = self._held[name] = torch.empty_like(like, dtype=dtype)
        return held


def point_gradient(
    material: Material,
    point: Point,
    draw: Draw,
    loss: BatchLoss,
    teachers: Mapping[str, Teacher],
    workspace: Workspace | None = None,
) -> Gradient:
    """Give the loss of the merged model summed over the tasks of ``teachers``, and its gradient.

    One merge and one contraction whatever the number of tasks. As many tasks as the material's
    ``activations_mb`` allows go through the tower in one forward, at least one; those with tower
    tensors of their own go alone. Source: algorithms.md 2.2.

    With ``precision`` bfloat16 the tower's weights are merged into bfloat16, and its forward and
    backward passes are computed in it. Heads, losses, sums over forwards and the contraction are
    not.

    A loss that does not depend on the logits leaves its task out of the gradient's ``own``.

    Args:
        material: tower, tasks and heads.
        point: where the gradient is taken.
        draw: which adapt images.
        loss: of one task's logits and its teacher.
        teachers: per task, what its individual model says about the drawn images.
        workspace: memory of earlier steps.

    Raises:
        DivergenceError: the loss is not finite.
    """
    base, layout, workspace = point.vectors.base, point.vectors.layout, workspace or Workspace()
    merged = workspace.vector("merged", base, point.vectors.compute_type(material.precision))
    gradient = workspace.vector("gradient", base, base.dtype).zero_()
    weights = _summing(merge(point.vectors, point.coefficients, merged), gradient, layout)
    losses: dict[str, Tensor] = {}
    own_gradients: dict[str, dict[str, Tensor]] = {}
    for tasks in _sharing(material, point.own, draw, tuple(teachers)):
        own = {task: _leaves(point.own.get(task, {})) for task in tasks}
        found = {
            task: loss(logits, _moved(teachers[task], base.device))
            for task, logits in _logits(material, weights, own, draw).items()
        }
        learning = {task: value for task, value in found.items() if value.requires_grad}
        if learning:  # else the loss has nothing to say about these batches
            (torch.stack(list(learning.values())).sum() * draw.batches).backward()
        losses |= {task: value.detach() for task, value in found.items()}
        own_gradients |= {task: _gradients(own[task]) for task in learning}
    values = _finite(losses, draw.step)
    total = sum((values[task] for task in teachers if task in own_gradients), 0.0) * draw.batches
    return Gradient(total, contract(point.vectors, gradient).cpu(), own_gradients)


def drawn_teachers(
    facts: Callable[[str], Facts], tasks: Sequence[str], draw: Draw
) -> dict[str, Teacher]:
    """Give what each task's individual model says about the images that ``draw`` addresses."""
    teachers = {}
    for name in tasks:
        known = facts(name)
        index = torch.from_numpy(_indices(name, draw, len(known.confidence)))
        teachers[name] = Teacher(known.logits[index].argmax(dim=1), known.confidence[index])
    return teachers


def _summing(
    weights: Float[Tensor, " parameter"], gradient: Float[Tensor, " parameter"], layout: Layout
) -> dict[str, Tensor]:
    """Give named weights whose gradients are added to ``gradient`` as soon as they are there."""
    named, parts = layout.unflatten(weights), layout.unflatten(gradient)
    for name, weight in named.items():
        weight.requires_grad_().register_post_accumulate_grad_hook(partial(_move_to, parts[name]))
    return named


def _move_to(part: Tensor, weight: Tensor) -> None:
    assert weight.grad is not None
    part.add_(weight.grad)
    weight.grad = None


def _sharing(material: Material, own: Own, draw: Draw, tasks: Sequence[str]) -> Iterator[list[str]]:
    """Yield tasks whose images go through the tower together, in parts of about equal size."""
    alone = {task for task in tasks if any(not name.startswith(HEAD) for name in own.get(task, {}))}
    together = [task for task in tasks if task not in alone]
    size = tasks_per_forward(material.config, len(together), draw.size, material.activations_mb)
    for start in range(0, len(together), size):
        yield together[start : start + size]
    for task in tasks:
        if task in alone:
            yield [task]


def _logits(
    material: Material, weights: Mapping[str, Tensor], own: Own, draw: Draw
) -> dict[str, Float[Tensor, "sample class"]]:
    """Give the logits of every task in ``own`` on its drawn images, from one forward."""
    like = next(iter(weights.values()))
    images = torch.cat([_drawn(material, task, draw) for task in own])
    if images.is_floating_point():
        images = images.to(like.dtype)
    if like.is_cuda:
        images = images.pin_memory()
    first = next(iter(own.values()))  # all of them, where they share a forward, have no other
    tower = own_weights(weights, {name: t.to(like.dtype) for name, t in first.items()})
    features = material.tower.features(tower, images.to(like.device, non_blocking=True))
    parts = features.to(material.heads[next(iter(own))].weight.dtype).split(draw.size)
    return {
        task: own_head(material.heads[task], named)(part)
        for (task, named), part in zip(own.items(), parts, strict=True)
    }


def _leaves(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().requires_grad_() for name, tensor in named.items()}


def _gradients(leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}


def _moved(teacher: Teacher, device: torch.device) -> Teacher:
    return Teacher(*(part.to(device) for part in teacher))


def _finite(losses: Mapping[str, Tensor], step: int) -> dict[str, float]:
    """Give the losses' values; here alone an accelerator is waited for.

    Raises:
        DivergenceError: one is not finite.
    """
    values = dict(zip(losses, torch.stack(list(losses.values())).tolist(), strict=True))
    for task, value in values.items():
        if not isfinite(value):
            raise DivergenceError(f"step {step}: the loss of task {task} is {value}")
    return values


def _indices(task: str, draw: Draw, available: int) -> Int64[np.ndarray, " batch"]:
    return batch_indices(draw.seed, task, draw.step, size=draw.size, available=available)


def _drawn(material: Material, name: str, draw: Draw) -> ModelInput:
    adapt = material.task(name).adapt
    return adapt.batch(_indices(name, draw, len(adapt)), material.config.preprocess)
