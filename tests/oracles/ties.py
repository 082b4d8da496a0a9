"""TIES-Merging by its definition (arXiv:2306.01708, algorithm 1), in float64, one by one."""

import numpy as np


def ties_rows(rows: np.ndarray, density: float, aggregate: str) -> np.ndarray:
    """Give the aggregated vector of task rows."""
    trimmed = np.stack([_trim(row, density) for row in rows])
    sums = np.array([np.sign(sum(column)) for column in trimmed.T])
    majority = 1.0 if np.sum(sums) > 0 else -1.0
    signs = np.where(sums == 0, majority, sums)
    merged = []
    for column, sign in zip(trimmed.T, signs, strict=True):
        kept = [value for value in column if value != 0 and np.sign(value) == sign]
        merged.append(_aggregate(kept, aggregate))
    return np.array(merged)


def _trim(row: np.ndarray, density: float) -> np.ndarray:
    kept = max(1, int(len(row) * density))
    threshold = sorted(np.abs(row), reverse=True)[kept - 1]
    return np.where(np.abs(row) >= threshold, row, 0.0)


def _aggregate(kept: list[float], aggregate: str) -> float:
    if not kept:
        return 0.0
    if aggregate == "max":
        return max(kept, key=abs)
    return sum(kept) / (len(kept) if aggregate == "mean" else 1)
