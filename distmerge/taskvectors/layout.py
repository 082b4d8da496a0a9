"""Where each named tensor lies in a flat parameter vector, and how tensors form merge groups."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

Grouping = Literal["global", "per_block", "per_tensor"]

# The outermost counts: a block of a transformer, a stage of a ResNet or of ConvNeXt. What cuts an
# image into patches belongs to the stem, whatever it is made of.
_BLOCK = re.compile(
    r"(?!.*patch_embed\.)(?:.*?\.)?(?:(?:resblocks|layers?|blocks|stages)\.|layer)(\d+)\."
)


@dataclass(frozen=True)
class Segment:
    """One named tensor's place in the flat vector."""

    name: str
    start: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of parameters."""
        return torch.Size(self.shape).numel()

    @property
    def stop(self) -> int:
        """First index behind the segment."""
        return self.start + self.size


@dataclass(frozen=True)
class Layout:
    """The segments of a flat vector, in order and without gaps."""

    segments: tuple[Segment, ...]

    @classmethod
    def of(cls, shapes: Mapping[str, torch.Size]) -> "Layout":
        """Give the layout of tensors in the order of ``shapes``."""
        segments, start = [], 0
        for name, shape in shapes.items():
            segments.append(Segment(name, start, tuple(shape)))
            start = segments[-1].stop
        return cls(tuple(segments))

    @property
    def num_parameters(self) -> int:
        """Length of the flat vector."""
        return self.segments[-1].stop

    def flatten(self, state: Mapping[str, Tensor]) -> Float[Tensor, " parameter"]:
        """Give one float32 vector of the tensors in ``state``."""
        return torch.cat([state[segment.name].reshape(-1).float() for segment in self.segments])

    def unflatten(self, flat: Float[Tensor, " parameter"]) -> dict[str, Tensor]:
        """Give named views of a flat vector; gradients flow through them."""
        parts = flat.split([segment.size for segment in self.segments])
        return {
            segment.name: part.view(segment.shape)
            for segment, part in zip(self.segments, parts, strict=True)
        }


@dataclass(frozen=True)
class Groups:
    """Merge groups ("layers" of the papers): which coefficient each segment uses."""

    names: tuple[str, ...]
    index: Int64[Tensor, " segment"]

    def spread(self, values: Float[Tensor, "task group"]) -> Float[Tensor, "task segment"]:
        """Give every segment its group's value."""
        return values[:, self.index]

    def gather(self, values: Float[Tensor, "task segment"]) -> Float[Tensor, "task group"]:
        """Give the sums over each group's segments: the gradient of ``spread``."""
        sums = torch.zeros(len(values), len(self.names), dtype=values.dtype)
        return sums.index_add_(1, self.index, values)


def merge_groups(layout: Layout, grouping: Grouping) -> Groups:
    """Give the groups of a layout.

    ``per_tensor`` is the reference implementations' layer; ``per_block`` has stem, each block and
    final; ``global`` is task-wise merging. Source: algorithms.md 1.2.
    """
    keys = [_group(segment.name, grouping) for segment in layout.segments]
    if grouping == "per_block":
        last = max((i for i, key in enumerate(keys) if key.startswith("block")), default=-1)
        keys = ["final" if key == "stem" and i > last else key for i, key in enumerate(keys)]
    names = tuple(dict.fromkeys(keys))
    return Groups(names, torch.tensor([names.index(key) for key in keys]))


def last_layer(names: Sequence[str], layer: str) -> tuple[str, ...]:
    """Give the tensors of a layer, such as mlp.c_fc, in the last block that has it; or none."""
    blocks: dict[str, list[str]] = {}
    for name in names:
        block = _BLOCK.match(name)
        if block and name.startswith(layer, block.end()):
            blocks.setdefault(block.group(), []).append(name)
    return tuple(list(blocks.values())[-1]) if blocks else ()


def _group(name: str, grouping: Grouping) -> str:
    if grouping == "global":
        return "all"
    if grouping == "per_tensor":
        return name
    block = _BLOCK.match(name)
    return f"block.{block.group(1)}" if block else "stem"
