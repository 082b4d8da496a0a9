"""The Adjacency Discrepancy Score: how much an image and its neighbours disagree."""

import math
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from distmerge.methods.bd_merging.evidence import probability, uncertainty

_SMALLEST_RATIO = 1e-12  # of (1 - p) / p, where the literal logarithm would be infinite


class Neighbours(NamedTuple):
    """Who is near whom; an anchor is never its own neighbour."""

    near: Bool[Tensor, "anchor image"]
    anchors: Int64[Tensor, " anchor"]
    """Where the anchors stand among the images."""


class Split(NamedTuple):
    """Which pairs to pull together and which to push apart."""

    positive: Bool[Tensor, "anchor image"]
    negative: Bool[Tensor, "anchor image"]


def neighbours(
    features: Float[Tensor, "sample feature"],
    anchors: Int64[Tensor, " anchor"],
    *,
    radius: float,
    quantile: float,
    minimum: int,
) -> Neighbours:
    """Give the images within a cosine distance of the anchors, and the ``minimum`` nearest.

    With ``radius`` 0 it is the ``quantile`` of all distances from the anchors.
    Source: algorithms.md 3.9, rows 3 to 5.

    Args:
        features: normalised.
        anchors: indices of images.
        radius: a distance, or 0.
        quantile: a share of distances.
        minimum: how many images are neighbours even beyond the radius.
    """
    distances = 1 - features[anchors] @ features.T
    own = torch.zeros_like(distances, dtype=torch.bool)
    own[torch.arange(len(anchors)), anchors] = True
    if len(features) == 1:
        return Neighbours(~own, anchors)
    reach = radius or float(np.quantile(distances[~own].cpu().numpy(), quantile))
    distances = distances.masked_fill(own, float("inf"))
    nearest = distances.topk(min(minimum, len(features) - 1), dim=1, largest=False).values
    return Neighbours(distances <= nearest[:, -1:].clamp(min=reach), anchors)


def sharpness(
    alpha: Float[Tensor, "sample class"],
    kind: Literal["softplus", "sigmoid", "one", "literal"],
) -> Float[Tensor, " sample"]:
    """Give an image's part of Sharp, by its largest probability p.

    Departs: the notes have ``ln(S / max alpha - 1)``, which is negative where p > 1/2 and turns
    the order of discrepancies round; the default is softplus of it, over ``ln L``
    (algorithms.md 3.9, row 1).
    """
    p = probability(alpha).amax(dim=1)
    if kind == "softplus":
        return -p.log() / math.log(alpha.shape[1])
    if kind == "sigmoid":
        return 1 - p
    return torch.ones_like(p) if kind == "one" else (1 / p - 1).clamp(min=_SMALLEST_RATIO).log()


def sharp_factor(
    values: Float[Tensor, " sample"], found: Neighbours, *, include_self: bool
) -> Float[Tensor, " anchor"]:
    """Give Sharp: the mean of ``sharpness`` over an anchor's neighbourhood; NaN if it is empty."""
    near = found.near.clone()
    near[torch.arange(len(near)), found.anchors] = include_self
    return _mean_near(values.expand(near.shape), near)


def div_factor(alpha: Float[Tensor, "sample class"], found: Neighbours) -> Float[Tensor, " anchor"]:
    """Give Div: the mean L1 distance of probabilities to the neighbours; NaN without any."""
    p = probability(alpha)
    return _mean_near(torch.cdist(p[found.anchors], p, p=1), found.near)


def conflict(alpha: Float[Tensor, "sample class"]) -> Float[Tensor, "sample image"]:
    """Give Conf of all pairs: the L1 distance of their probabilities, times both certainties."""
    p, certainty = probability(alpha), 1 - uncertainty(alpha)
    return torch.cdist(p, p, p=1) * certainty[:, None] * certainty[None]


def threshold(
    discrepancies: Float[Tensor, "anchor anchor"],
    near: Bool[Tensor, "anchor anchor"],
    quantile: float,
) -> float | None:
    """Give the quantile of the neighbours' discrepancies; None if there is nothing to split."""
    found = discrepancies[near]
    found = found[found.isfinite()]
    if not len(found) or bool(found.max() == found.min()):
        return None
    return float(np.quantile(found.detach().cpu().numpy(), quantile))


def split_at(
    discrepancies: Float[Tensor, "anchor anchor"], near: Bool[Tensor, "anchor anchor"], eps: float
) -> Split:
    """Give the neighbours below ``eps`` and the others; anchors without a score have neither."""
    scored = near & discrepancies.isfinite()
    return Split(scored & (discrepancies < eps), scored & (discrepancies >= eps))


def _mean_near(
    values: Float[Tensor, "anchor image"], near: Bool[Tensor, "anchor image"]
) -> Float[Tensor, " anchor"]:
    total = torch.where(near, values, 0).sum(dim=1)
    count = near.sum(dim=1)
    return torch.where(count > 0, total / count.clamp(min=1), float("nan"))
