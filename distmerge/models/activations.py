"""Bytes of a tower's activations, from its description alone. They are estimates."""

from math import ceil
from typing import NamedTuple

from distmerge.models.shapes import num_tokens
from distmerge.spec import AnyTower, OpenClipTower, TowerConfig

_FLOAT = 4
# Of every token, in widths. Forward: the residual stream, queries, keys and values, and one MLP;
# what every block gave stays. Training: what a block keeps for its backward pass.
_FORWARD, _KEPT = 6, 8


class _Transformer(NamedTuple):
    tokens: int
    width: int
    layers: int
    mlp_ratio: float


def forward_bytes(config: AnyTower, samples: int) -> int:
    """Give the activations of a forward pass that keeps every block's tokens; 0: not known."""
    tokens, width, layers, mlp_ratio = _transformer(config)
    return int(samples * tokens * width * _FLOAT * (layers + _FORWARD + 2 * mlp_ratio))


def training_bytes(config: AnyTower, samples: int) -> int:
    """Give the activations that a backward pass needs; 0: not known."""
    tokens, width, layers, mlp_ratio = _transformer(config)
    return int(samples * tokens * width * _FLOAT * layers * (_KEPT + 2 * mlp_ratio))


def tasks_per_forward(config: AnyTower, num_tasks: int, samples: int, room_mb: int) -> int:
    """Give how many tasks of ``samples`` samples each share a forward that is to be differentiated.

    As many as ``room_mb`` MiB hold, at least one, in forwards of about equal size; one of a tower
    whose activations are not known.
    """
    each = training_bytes(config, samples)
    room = max(1, room_mb * 2**20 // each) if each else 1
    return ceil(num_tasks / ceil(num_tasks / room)) if num_tasks else 1


def _transformer(config: AnyTower) -> _Transformer:
    if isinstance(config, TowerConfig):
        return _Transformer(num_tokens(config), config.width, config.layers, config.mlp_ratio)
    if isinstance(config, OpenClipTower):
        return _Transformer(0, 0, 0, 0)  # of no one kind
    layers, width = config.layer_features
    hidden = config.transformers.get("intermediate_size", 4 * width)
    return _Transformer(config.preprocess.length, width, layers, hidden / width)
