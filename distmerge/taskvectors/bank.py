"""Base and fine-tuned checkpoints as one flat bank of task vectors."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Shaped
from torch import Tensor

from distmerge.errors import CheckpointError, problem_list
from distmerge.spec import Precision, Selection
from distmerge.taskvectors.layout import Layout, Segment


class BankArrays(NamedTuple):
    """A bank as it crosses process borders, where NumPy arrays are mapped and not copied."""

    base: Float32[np.ndarray, " parameter"]
    vectors: Shaped[np.ndarray, "task parameter"]
    """float32, or the bits of bfloat16 as uint16."""


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

    def compute_type(self, precision: Precision) -> torch.dtype:
        """Give the type in which adaptation steps run the tower: the base's, or a shorter one."""
        return torch.bfloat16 if precision == "bfloat16" else self.base.dtype

    def arrays(self) -> BankArrays:
        """Give base and vectors as NumPy arrays over the same memory."""
        vectors = self.vectors
        if vectors.dtype == torch.bfloat16:  # which NumPy does not know
            vectors = vectors.view(torch.uint16)
        return BankArrays(self.base.numpy(), vectors.numpy())


def task_vectors(
    base: Mapping[str, Tensor],
    tuned: Mapping[str, Mapping[str, Tensor]],
    shapes: Mapping[str, torch.Size],
    others: Mapping[str, Mapping[str, Tensor]] | None = None,
    dtype: torch.dtype = torch.float32,
) -> TaskVectors:
    """Give the bank ``vectors[k] = tuned[k] - base``, taken in float32.

    Of a mapping that reads from disk one tensor is held at a time, beside the bank.

    Args:
        base: the pretrained state dict.
        tuned: one state dict per task; the order gives the tasks' order.
        shapes: names and shapes that the tower expects; the order gives the layout.
        others: state dicts of models that are not merged; they are checked with the rest.
        dtype: of the vectors; the base is float32.

    Raises:
        CheckpointError: lists every missing, extra, misshaped or non-finite tensor of every model.
    """
    layout = Layout.of(shapes)
    flat_base, vectors = (
        torch.empty(layout.num_parameters),
        torch.empty(len(tuned), layout.num_parameters, dtype=dtype),
    )
    places: list[tuple[str, Mapping[str, Tensor], Tensor | None]] = [
        ("base", base, flat_base),
        *zip(tuned, tuned.values(), vectors, strict=True),
        *((model, state, None) for model, state in (others or {}).items()),
    ]
    problems = [
        f"{model}: {problem}"
        for model, state, row in places
        for problem in _read_into(row, state, layout, None if row is flat_base else flat_base)
    ]
    if problems:
        raise CheckpointError(problem_list("checkpoints do not fit the tower", problems))
    return TaskVectors(tuple(tuned), layout, flat_base, vectors)


def mapped_vectors(
    tasks: tuple[str, ...], shapes: Mapping[str, torch.Size], arrays: BankArrays
) -> TaskVectors:
    """Give the bank over arrays that another process owns, without a copy."""
    with warnings.catch_warnings():
        # The arrays are read-only, and so is the bank by contract.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        base, vectors = torch.from_numpy(arrays.base), torch.from_numpy(arrays.vectors)
    if vectors.dtype == torch.uint16:
        vectors = vectors.view(torch.bfloat16)
    return TaskVectors(tasks, Layout.of(shapes), base, vectors)


def _read_into(
    row: Tensor | None, state: Mapping[str, Tensor], layout: Layout, base: Tensor | None
) -> Iterator[str]:
    """Fill a row with a state dict less the base, tensor by tensor; yield what is wrong with it."""
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
            _fill(row[segment.start : segment.stop], tensor.reshape(-1), base, segment)


def _fill(part: Tensor, values: Tensor, base: Tensor | None, segment: Segment) -> None:
    """Write values, less those of the base, without a tensor between."""
    if base is None:
        part.copy_(values)
    else:
        torch.sub(values, base[segment.start : segment.stop], out=part)
