"""A batch is addressed: (seed, task name, step) gives it, whoever asks and however often."""

import numpy as np
from jaxtyping import Int64

from distmerge.errors import DataError
from distmerge.spec import digest


def batch_indices(
    seed: int, task: str, step: int, *, size: int, available: int
) -> Int64[np.ndarray, " batch"]:
    """Give ``size`` distinct indices below ``available``, independent between steps and tasks.

    Source: AdaMerging draws a fresh shuffle per iteration and task (algorithms.md 2.4).

    Raises:
        DataError: the task has fewer images than a batch.
    """
    if size > available:
        raise DataError(f"task {task}: a batch of {size} from {available} images")
    key = int(digest([seed, task, step]), 16)
    generator = np.random.Generator(np.random.Philox(key))
    return generator.permutation(available)[:size].astype(np.int64)
