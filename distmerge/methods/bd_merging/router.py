"""A two-layer perceptron from an image's tokens to one weight per task and group."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu, linear

from distmerge.models import initialised

_SMALLEST_DEVIATION = 1e-6  # less is rounding: a component is the same for all images
_DEVIATION = 0.01  # of the last layer's first values: every task starts with almost equal weight


@dataclass(frozen=True)
class Router:
    """``w = softmax over tasks of out @ gelu(hidden @ tokens + bias) + out_bias``, per group.

    The tokens are centred and scaled by constants first.
    """

    center: Float[Tensor, " width"]
    scale: Float[Tensor, " width"]
    hidden: Float[Tensor, "unit width"]
    hidden_bias: Float[Tensor, " unit"]
    out: Float[Tensor, "task group unit"]
    out_bias: Float[Tensor, "task group"]

    def __call__(self, tokens: Float[Tensor, "sample width"]) -> Float[Tensor, "sample task group"]:
        """Give every image's routing weights; they sum to 1 over the tasks."""
        return self.scores(tokens).softmax(dim=1)

    def scores(self, tokens: Float[Tensor, "sample width"]) -> Float[Tensor, "sample task group"]:
        """Give what the softmax is of."""
        units = gelu(linear((tokens - self.center) / self.scale, self.hidden, self.hidden_bias))
        return torch.einsum("iu,tgu->itg", units, self.out) + self.out_bias

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """Give the tensors to learn."""
        return (self.hidden, self.hidden_bias, self.out, self.out_bias)

    def learning(self, device: torch.device) -> "Router":
        """Give a copy on ``device`` whose tensors gather gradients."""
        constants = (self.center.to(device), self.scale.to(device))
        learned = (p.detach().to(device).clone().requires_grad_() for p in self.parameters)
        return Router(*constants, *learned)

    def frozen(self) -> "Router":
        """Give a copy as it is now, which further steps do not change."""
        return Router(self.center, self.scale, *(p.detach().clone() for p in self.parameters))


def initial_router(
    tasks: Sequence[str], num_groups: int, width: int, units: int, seed: int
) -> Router:
    """Give a router whose weights are almost equal; a task's rows are seeded by its name."""
    layer = initialised(lambda: nn.Linear(width, units), seed, "router")
    rows = [
        initialised(lambda: _DEVIATION * torch.randn(num_groups, units), seed, task, "router")
        for task in tasks
    ]
    constants = (torch.zeros(width), torch.ones(width))
    first = (layer.weight.detach(), layer.bias.detach())
    return Router(*constants, *first, torch.stack(rows), torch.zeros(len(rows), num_groups))


def identity_loss(scores: Float[Tensor, "sample task group"]) -> Float[Tensor, ""]:
    """Give how badly images are sent to their own tasks: ``-ln w``, each task's mean, summed.

    The mean over groups counts. No class label is read: whose adapt image it is, every method
    knows. Source: as the router of Twin-Merging is trained, arXiv:2406.15479; algorithms.md 3.11.

    Args:
        scores: of the same number of images of every task, tasks in order.
    """
    num_tasks = scores.shape[1]
    by_task = scores.log_softmax(dim=1).unflatten(0, (num_tasks, -1)).diagonal(dim1=0, dim2=2)
    loss: Tensor = -by_task.flatten(0, 1).mean(dim=0).sum()
    return loss


def standardised(router: Router, tokens: Float[Tensor, "sample width"]) -> Router:
    """Give the router that reads ``tokens`` with mean 0 and deviation 1 in every component.

    What the tokens of all images have in common would otherwise outweigh what tells them apart. A
    component that is the same for all images is only centred.
    """
    deviation = tokens.std(dim=0, correction=0)
    scale = torch.where(deviation > _SMALLEST_DEVIATION, deviation, 1.0)
    return replace(router, center=tokens.mean(dim=0), scale=scale)
