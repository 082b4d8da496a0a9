"""AdaMerging of linear models in float64 NumPy, image by image; nothing of ours is used.

Source: algorithms.md 2.1 to 2.3, 2.5 and 3.4.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]


def softmax(logits: Array) -> Array:
    """Give the class probabilities of one image."""
    powers = np.exp(logits - logits.max())
    probabilities: Array = powers / powers.sum()
    return probabilities


def entropy(logits: Array) -> float:
    """Give ``-sum_c p_c ln p_c`` of one image, where ``0 ln 0`` is 0."""
    return -sum(float(p * np.log(p)) for p in softmax(logits) if p > 0)


def entropy_gradient(logits: Array) -> Array:
    """Give ``dH/dz_c = -p_c (ln p_c + H)`` of one image."""
    p = softmax(logits)
    return -p * (np.log(p) + entropy(logits))


def merged(base: Array, vectors: list[Array], coefficients: Array) -> Array:
    """Give ``base + sum_k coefficients[k] * vectors[k]``."""
    result = base.copy()
    for coefficient, vector in zip(coefficients, vectors, strict=True):
        result += coefficient * vector
    return result


def loss_and_gradient(
    base: Array, vectors: list[Array], coefficients: Array, images: Array
) -> tuple[float, Array]:
    """Give the summed entropy of logits ``W x``, one image per task, and ``<dL/dW, tau_k>``."""
    weight = merged(base, vectors, coefficients)
    total, by_weight = 0.0, np.zeros_like(base)
    for image in images:
        total += entropy(weight @ image)
        by_weight += np.outer(entropy_gradient(weight @ image), image)
    return total, np.array([float(np.sum(by_weight * vector)) for vector in vectors])


def adam(
    first: Array, gradient: Callable[[Array, int], Array], *, steps: int, lr: float
) -> list[Array]:
    """Give the parameters after every step; betas (0.9, 0.999), eps 1e-8, no weight decay."""
    value, mean, square, trace = first.copy(), np.zeros_like(first), np.zeros_like(first), []
    for step in range(steps):
        slope = gradient(value, step)
        mean = 0.9 * mean + 0.1 * slope
        square = 0.999 * square + 0.001 * slope**2
        unbiased = mean / (1 - 0.9 ** (step + 1))
        scale = np.sqrt(square / (1 - 0.999 ** (step + 1))) + 1e-8
        value = value - lr * unbiased / scale
        trace.append(value)
    return trace


def adapted(
    base: Array, vectors: list[Array], images: Array, *, init: float, steps: int, lr: float
) -> list[Array]:
    """Give the raw coefficients after every step; they are clamped to [0, 1] where they are used.

    The clamp passes the gradient on inside and on the boundary, and none outside.
    """

    def gradient(raw: Array, _step: int) -> Array:
        _, slope = loss_and_gradient(base, vectors, raw.clip(0, 1), images)
        return slope * ((raw >= 0) & (raw <= 1))

    return adam(np.full(len(vectors), init), gradient, steps=steps, lr=lr)
