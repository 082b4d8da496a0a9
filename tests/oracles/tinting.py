"""Model Tinting's selection and loss, and a head's training, image by image in float64 NumPy.

Source: algorithms.md 3.7.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tests.oracles.adamerging import Array, adam, softmax


class Tinted(NamedTuple):
    """What a batch says: who is kept, the loss, and its gradient by the merged logits."""

    kept: list[bool]
    loss: float
    gradient: Array


def tinted(merged: Array, individual: Array) -> Tinted:
    """Give the mean cross-entropy to the individual labels, over the images that are kept."""
    keep, losses = [], []
    gradient = np.zeros_like(merged)
    for row, (ours, theirs) in enumerate(zip(merged, individual, strict=True)):
        p, q = softmax(ours), softmax(theirs)
        label = int(np.argmax(q))
        keep.append(int(np.argmax(p)) == label or float(q.max()) >= float(p.max()))
        if keep[-1]:
            losses.append(-float(np.log(p[label])))
            gradient[row] = p - np.eye(len(p))[label]
    count = max(1, len(losses))
    return Tinted(keep, sum(losses) / count, gradient / count)


def trained_head(
    weight: Array, bias: Array, features: Array, individual: Array, batches: Sequence[Array]
) -> tuple[Array, Array]:
    """Give a head after one Adam step of 1e-2 per batch; the features are normalised already."""

    def split(flat: Array) -> tuple[Array, Array]:
        return flat[: weight.size].reshape(weight.shape), flat[weight.size :]

    def gradient(flat: Array, step: int) -> Array:
        w, b = split(flat)
        drawn = features[batches[step]]
        slope = tinted(drawn @ w.T + b, individual[batches[step]]).gradient
        return np.concatenate([(slope.T @ drawn).ravel(), slope.sum(axis=0)])

    first = np.concatenate([weight.ravel(), bias])
    return split(adam(first, gradient, steps=len(batches), lr=1e-2)[-1])
