"""Expected calibration error in float64 NumPy, bin by bin, straight from its definition."""

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Give class probabilities."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def expected_calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = 15
) -> float:
    """Give sum over bins (lo, hi] of share * |accuracy - mean confidence|."""
    confidence = probabilities.max(axis=1)
    hit = probabilities.argmax(axis=1) == labels
    total = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.any():
            total += inside.mean() * abs(hit[inside].mean() - confidence[inside].mean())
    return float(total)
