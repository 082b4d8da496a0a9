"""Routing, withheld tasks and uncertainty, image by image in float64 NumPy."""

from collections.abc import Sequence

import numpy as np


def accuracy_withheld(
    routing: np.ndarray, logits: Sequence[np.ndarray], labels: np.ndarray, expert: int
) -> float:
    """Give the share of images whose named task's head gives their (task, class) pair."""
    right = 0
    for image, label in enumerate(labels):
        named = int(np.argmax(routing[image]))
        right += (named, int(np.argmax(logits[named][image]))) == (expert, label)
    return right / len(labels)


def accuracy_unified(logits: Sequence[np.ndarray], labels: np.ndarray, expert: int) -> float:
    """Give the share of images whose largest logit of any head is their (task, class) pair's."""
    right = 0
    for image, label in enumerate(labels):
        pairs = [(task, c) for task, part in enumerate(logits) for c in range(part.shape[1])]
        best = max(pairs, key=lambda pair: logits[pair[0]][image][pair[1]])
        right += best == (expert, label)
    return right / len(labels)


def uncertainty_ece(uncertainty: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Give sum over bins (lo, hi], the first with its 0, of share * |accuracy - mean of 1 - u|."""
    confidence, total = 1 - uncertainty.astype(np.float64), 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        inside |= (b == 0) & (confidence == 0)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return float(total)


def uncertainty_auroc(uncertainty: np.ndarray, right: np.ndarray) -> float:
    """Give the share of (wrong, right) pairs in which the wrong one has larger u; ties half."""
    pairs = [(w, r) for w in uncertainty[~right] for r in uncertainty[right]]
    return sum(float(w > r) + 0.5 * float(w == r) for w, r in pairs) / len(pairs)


def nearest_centroid(features: np.ndarray, tasks: Sequence[np.ndarray]) -> list[int]:
    """Give the task whose mean of features at length 1 is nearest to each feature at length 1."""
    unit = [t / np.linalg.norm(t, axis=1, keepdims=True) for t in tasks]
    centroids = [task.mean(axis=0) for task in unit]
    scaled = features / np.linalg.norm(features, axis=1, keepdims=True)
    return [int(np.argmin([np.sum((x - c) ** 2) for c in centroids])) for x in scaled]
