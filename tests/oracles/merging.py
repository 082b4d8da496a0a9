"""Merging written out number by number in float64, tensor by tensor; nothing of ours is used.

Source: algorithms.md 2.1 and 2.2.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Weights = Mapping[str, NDArray[np.float64]]
Coefficients = Sequence[Mapping[str, float]]


def merged(base: Weights, tuned: Sequence[Weights], coefficients: Coefficients) -> Weights:
    """Give ``base + sum_k coefficients[k] * (tuned[k] - base)`` for every tensor."""
    result = {name: tensor.copy() for name, tensor in base.items()}
    for weights, coefficient in zip(tuned, coefficients, strict=True):
        for name in base:
            result[name] += coefficient[name] * (weights[name] - base[name])
    return result


def contracted(
    base: Weights, tuned: Sequence[Weights], gradient: Weights
) -> list[dict[str, float]]:
    """Give ``<gradient, tuned[k] - base>`` for every task and tensor."""
    return [
        {name: float(np.sum(gradient[name] * (weights[name] - base[name]))) for name in base}
        for weights in tuned
    ]
