"""Label-free losses on logits. Module-level functions, so that they travel to workers by name."""

import math
from collections.abc import Callable
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor

SampleLoss: TypeAlias = Callable[[Float[Tensor, "image class"]], Float[Tensor, " image"]]


def softmax_entropy(logits: Float[Tensor, "image class"]) -> Float[Tensor, " image"]:
    """Give the entropy of ``softmax(logits)``, in nats, in ``[0, ln class]``.

    Source: AdaMerging, arXiv:2310.02575, eq. 5.
    Departs: no ``1e-8`` inside the log (fusion_bench); ``log_softmax`` does not need it.
    """
    log_p = logits.log_softmax(dim=-1)
    return -(log_p.exp() * log_p).sum(dim=-1)


def relative_entropy(logits: Float[Tensor, "image class"]) -> Float[Tensor, " image"]:
    """Give ``softmax_entropy`` over its maximum ``ln class``, in ``[0, 1]``.

    Tasks with many classes then do not outweigh the others (algorithms.md 2.3).
    """
    return softmax_entropy(logits) / math.log(logits.shape[-1])
