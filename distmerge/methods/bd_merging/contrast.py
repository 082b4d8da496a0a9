"""The discrepancy-aware contrastive loss."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from distmerge.methods.bd_merging.discrepancy import Split


def contrastive_loss(
    features: Float[Tensor, "sample feature"], split: Split, temperature: float
) -> Float[Tensor, ""]:
    """Give the supervised contrastive loss, the mean over anchors with pairs of both kinds.

    ``-mean_{k in M+} ln(exp(s_ik / T) / sum_{j in M+ or M-} exp(s_ij / T))`` with cosine
    similarities s; 0 without such an anchor. Source: algorithms.md 3.9, row 9.
    """
    valid = split.positive.any(dim=1) & split.negative.any(dim=1)
    if not bool(valid.any()):
        return features.sum() * 0
    directions = normalize(features, dim=1)
    scaled = directions[valid] @ directions.T / temperature
    positive, others = split.positive[valid], (split.positive | split.negative)[valid]
    total = scaled.masked_fill(~others, float("-inf")).logsumexp(dim=1, keepdim=True)
    losses = torch.where(positive, total - scaled, 0).sum(dim=1) / positive.sum(dim=1)
    return losses.mean()
