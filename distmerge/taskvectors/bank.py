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

    Of a mapping that reads from disk one tensor is held at a time, beside the bank.

    Args:
        base: the pretrained state dict.
        tuned: one state dict per task; the order gives the tasks' order.
        shapes: names and shapes that the tower expects; the order gives the layout.
        others: state dicts of models that are not merged; they are checked with the rest.

    Raises:
        CheckpointError: lists every missing, extra, misshaped or non-finite tensor of every model.
    """
    layout = Layout.of(shapes)
    flat_base, vectors = (
        torch.empty(layout.num_parameters),
        torch.empty(len(tuned), layout.num_parameters),
    )
    places: list[tuple[str, Mapping[str, Tensor], Tensor | None]] = [
        ("base", base, flat_base),
        *zip(tuned, tuned.values(), vectors, strict=True),
        *((model, state, None) for model, state in (others or {}).items()),
    ]
    problems = [
        f"{model}: {problem}"
        for model, state, row in places
        for problem in _read_into(row, state, layout)
    ]
    if problems:
        raise CheckpointError(problem_list("checkpoints do not fit the tower", problems))
    vectors -= flat_base
    return TaskVectors(tuple(tuned), layout, flat_base, vectors)


def _read_into(row: Tensor | None, state: Mapping[str, Tensor], layout: Layout) -> Iterator[str]:
    """Copy a state dict to its row, one tensor in memory at a time; yield what is wrong with it."""
    expected = {segment.name for segment in layout.segments}
    for name in sorted(expected - state.keys()):
        yield f"{name}: missing"
    for name in sorted(state.keys() - expected):
        yield f"{name}: not in the tower"
    for segment in layout.segments:
        if segment.name not in state:
            continue
        tensor = state[segment.name].float()
        if tensor.shape != segment.shape:
            yield f"{segment.name}: got shape {tuple(tensor.shape)}, expected {segment.shape}"
        elif not bool(torch.isfinite(tensor).all()):
            yield f"{segment.name}: holds NaN or infinity"
        elif row is not None:
            row[segment.start : segment.stop] = tensor.reshape(-1)
