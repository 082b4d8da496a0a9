"""Bytes that a study needs, from shapes and counts alone. Activations are estimates."""

from collections.abc import Mapping
from typing import NamedTuple

from distmerge.coordinator import FeatureKey
from distmerge.models import num_tokens
from distmerge.spec import AnyTower, OpenClipTower, TowerConfig
from distmerge.tasks import Role

FLOAT = 4
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
    return int(samples * tokens * width * FLOAT * (layers + _FORWARD + 2 * mlp_ratio))


def training_bytes(config: AnyTower, samples: int) -> int:
    """Give the activations that a backward pass needs; 0: not known."""
    tokens, width, layers, mlp_ratio = _transformer(config)
    return int(samples * tokens * width * FLOAT * layers * (_KEPT + 2 * mlp_ratio))


def fact_bytes(
    config: AnyTower,
    key: FeatureKey,
    counts: Mapping[tuple[str, Role], int],
    classes: Mapping[str, int],
) -> int:
    """Give the size of the facts of ``key``; those of crossed keys hold no layers."""
    layers, width = config.layer_features
    layers = 0 if key.crossed else layers * width
    floats = layers + config.output_dim + classes[key.task] + 1
    return counts[key.task, key.role] * floats * FLOAT


def size_text(size: int) -> str:
    """Give a size for people."""
    if size < 2**10:
        return f"{size} B"
    power = min(3, (size.bit_length() - 1) // 10)
    return f"{size / 2 ** (10 * power):.1f} {('KiB', 'MiB', 'GiB')[power - 1]}"


def _transformer(config: AnyTower) -> _Transformer:
    if isinstance(config, TowerConfig):
        return _Transformer(num_tokens(config), config.width, config.layers, config.mlp_ratio)
    if isinstance(config, OpenClipTower):
        return _Transformer(0, 0, 0, 0)  # of no one kind
    layers, width = config.layer_features
    hidden = config.transformers.get("intermediate_size", 4 * width)
    return _Transformer(config.preprocess.length, width, layers, hidden / width)
