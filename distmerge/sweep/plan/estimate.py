"""Bytes that a study needs, from shapes and counts alone."""

from collections.abc import Mapping

from distmerge.coordinator import FeatureKey
from distmerge.spec import AnyTower
from distmerge.tasks import Role

FLOAT = 4


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
