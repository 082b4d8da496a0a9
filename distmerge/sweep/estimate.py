"""Bytes that a study needs, from shapes and counts alone. Activations are estimates."""

from collections.abc import Mapping

from distmerge.coordinator import FeatureKey
from distmerge.models import num_tokens
from distmerge.spec import TowerConfig
from distmerge.tasks import Role

FLOAT = 4
# Of every token, in widths. Forward: the residual stream, queries, keys and values, and one MLP;
# what every block gave stays. Training: what a block keeps for its backward pass.
_FORWARD, _KEPT = 6, 8


def forward_bytes(config: TowerConfig, images: int) -> int:
    """Give the activations of a forward pass that keeps every block's tokens."""
    widths = config.layers + _FORWARD + 2 * config.mlp_ratio
    return int(_tokens_bytes(config, images) * widths)


def training_bytes(config: TowerConfig, images: int) -> int:
    """Give the activations that a backward pass needs."""
    widths = config.layers * (_KEPT + 2 * config.mlp_ratio)
    return int(_tokens_bytes(config, images) * widths)


def fact_bytes(
    config: TowerConfig,
    key: FeatureKey,
    counts: Mapping[tuple[str, Role], int],
    classes: Mapping[str, int],
) -> int:
    """Give the size of the facts of ``key``; those of crossed keys hold no layers."""
    layers = 0 if key.crossed else config.layers * config.width
    floats = layers + config.output_dim + classes[key.task] + 1
    return counts[key.task, key.role] * floats * FLOAT


def size_text(size: int) -> str:
    """Give a size for people."""
    if size < 2**10:
        return f"{size} B"
    power = min(3, (size.bit_length() - 1) // 10)
    return f"{size / 2 ** (10 * power):.1f} {('KiB', 'MiB', 'GiB')[power - 1]}"


def _tokens_bytes(config: TowerConfig, images: int) -> int:
    return images * num_tokens(config) * config.width * FLOAT
