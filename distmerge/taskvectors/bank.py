"""Base and fine-tuned checkpoints as one flat bank of task vectors."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from distmerge.errors import CheckpointError, problem_list
from distmerge.taskvectors.layout import Layout
from distmerge.taskvectors.selection import Selection


@dataclass(frozen=True)
class TaskVectors:
    """``theta_k = base + vectors[k]`` for the tasks in order. Treat the tensors as frozen.

    With a ``selection`` the vectors are what it left of the task vectors.
    """

    tasks: tuple[str, ...]
    layout: Layout
    base: Float[Tensor, " parameter"]
    vectors: Float[Tensor, "task parameter"]
    selection: Selection | None = None

    def to(self, device: torch.device) -> "TaskVectors":
        """Give the bank on another device."""
        return replace(self, base=self.base.to(device), vectors=self.vectors.to(device))


def task_vectors(
    base: Mapping[str, Tensor],
    tuned: Mapping[str, Mapping[str, Tensor]],
    shapes: Mapping[str, torch.Size],
    others: Mapping[str, Mapping[str, Tensor]] | None = None,
) -> TaskVectors:
    """Give the bank ``vectors[k] = tuned[k] - base``, in float32.

    Args:
        base: the pretrained state dict.
        tuned: one state dict per task; the order gives the tasks' order.
        shapes: names and shapes that the tower expects; the order gives the layout.
        others: state dicts of models that are not merged; they are checked with the rest.

    Raises:
        CheckpointError: lists every missing, extra, misshaped or non-finite tensor of every model.
    """
    problems = [
        f"{model}: {problem}"
        for model, state in [("base", base), *tuned.items(), *(others or {}).items()]
        for problem in _problems(state, shapes)
    ]
    if problems:
        raise CheckpointError(problem_list("checkpoints do not fit the tower", problems))
    layout = Layout.of(shapes)
    flat_base = layout.flatten(base)
    vectors = torch.empty(len(tuned), layout.num_parameters)
    for row, state in zip(vectors, tuned.values(), strict=True):
        torch.sub(layout.flatten(state), flat_base, out=row)
    return TaskVectors(tuple(tuned), layout, flat_base, vectors)


def _problems(state: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> Iterator[str]:
    for name in sorted(shapes.keys() - state.keys()):
        yield f"{name}: missing"
    for name in sorted(state.keys() - shapes.keys()):
        yield f"{name}: not in the tower"
    for name, shape in shapes.items():
        if name not in state:
            continue
        if state[name].shape != shape:
            yield f"{name}: got shape {tuple(state[name].shape)}, expected {tuple(shape)}"
        elif not bool(torch.isfinite(state[name].float()).all()):
            yield f"{name}: holds NaN or infinity"
