"""Representation Surgery in float64 NumPy, written out by hand; nothing of ours is used.

Source: algorithms.md 3.5.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tests.oracles.adamerging import adam

Array: TypeAlias = NDArray[np.float64]


class Bias(NamedTuple):
    """The L1 loss and its gradients."""

    loss: float
    down: Array
    up: Array


def corrected(down: Array, up: Array, features: Array) -> Array:
    """Give ``f - U relu(V f)`` image by image."""
    return np.stack([f - up @ np.maximum(down @ f, 0) for f in features])


def bias(down: Array, up: Array, features: Array, target: Array) -> Bias:
    """Give the mean absolute difference of corrected features to ``target``; ``sign(0) = 0``."""
    difference = corrected(down, up, features) - target
    by_down, by_up = np.zeros_like(down), np.zeros_like(up)
    for f, sign in zip(features, np.sign(difference) / difference.size, strict=True):
        hidden = down @ f
        by_up -= np.outer(sign, np.maximum(hidden, 0))
        by_down -= np.outer((up.T @ sign) * (hidden > 0), f)
    return Bias(float(np.abs(difference).mean()), by_down, by_up)


def trained(
    down: Array, features: Array, target: Array, batches: Sequence[Array], lr: float
) -> tuple[Array, Array]:
    """Give ``down`` and ``up`` after one Adam step per batch of indices; ``up`` starts at 0."""

    def split(flat: Array) -> tuple[Array, Array]:
        return flat[: down.size].reshape(down.shape), flat[down.size :].reshape(down.T.shape)

    def gradient(flat: Array, step: int) -> Array:
        drawn = batches[step]
        slope = bias(*split(flat), features[drawn], target[drawn])
        return np.concatenate([slope.down.ravel(), slope.up.ravel()])

    first = np.concatenate([down.ravel(), np.zeros(down.size)])
    return split(adam(first, gradient, steps=len(batches), lr=lr)[-1])
