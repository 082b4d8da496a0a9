"""Label-free losses on logits. Module-level functions, so that they travel to workers by name."""

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from jaxtyping import Float, Int64
from torch import Tensor


class Teacher(NamedTuple):
    """What a task's individual model says about the drawn images."""

    labels: Int64[Tensor, " sample"]
    confidence: Float[Tensor, " sample"]


BatchLoss: TypeAlias = Callable[[Float[Tensor, "sample class"], Teacher], Float[Tensor, ""]]


def mean_entropy(logits: Float[Tensor, "sample class"], _teacher: Teacher) -> Float[Tensor, ""]:
    """Give the mean of ``softmax_entropy``."""
    return softmax_entropy(logits).mean()


def mean_relative_entropy(
    logits: Float[Tensor, "sample class"], _teacher: Teacher
) -> Float[Tensor, ""]:
    """Give the mean of ``relative_entropy``."""
    return relative_entropy(logits).mean()


def softmax_entropy(logits: Float[Tensor, "sample class"]) -> Float[Tensor, " sample"]:
    """Give the entropy of ``softmax(logits)``, in nats, in ``[0, ln class]``.

    Source: AdaMerging, arXiv:2310.02575, eq. 5.
    Departs: no ``1e-8`` inside the log (fusion_bench); ``log_softmax`` does not need it.
    """
    log_p = logits.log_softmax(dim=-1)
    return -(log_p.exp() * log_p).sum(dim=-1)


def relative_entropy(logits: Float[Tensor, "sample class"]) -> Float[Tensor, " sample"]:
    """Give ``softmax_entropy`` over its maximum ``ln class``, in ``[0, 1]``.

    Tasks with many classes then do not outweigh the others (algorithms.md 2.3).
    """
    return softmax_entropy(logits) / math.log(logits.shape[-1])
