"""What is minimised: the head's loss, then the entropy and the contrast of merged answers."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from torch.nn.functional import normalize

from distmerge.methods.bd_merging import BDMerging
from distmerge.methods.bd_merging.contrast import contrastive_loss
from distmerge.methods.bd_merging.discrepancy import (
    Split,
    conflict,
    div_factor,
    neighbours,
    sharp_factor,
    sharpness,
    split_at,
    threshold,
)
from distmerge.methods.bd_merging.evidence import (
    EvidentialHead,
    evidence_penalty,
    expected_entropy,
    inverse_correlation_loss,
)
from distmerge.methods.bd_merging.pool import Drawn, Pool
from distmerge.methods.losses import relative_entropy, softmax_entropy
from distmerge.models import Head


def head_loss(hyper: BDMerging, alpha: Float64[Tensor, "sample class"]) -> Float64[Tensor, ""]:
    """Give ``L_Head = H(p) + lambda KL + gamma L_Inv``. Source: arXiv:2603.03920, stage 1."""
    entropies = expected_entropy(alpha) + hyper.kl_weight * evidence_penalty(alpha, hyper.kl)
    return entropies.mean() + hyper.gamma * inverse_correlation_loss(alpha, hyper.inverse)


class Objective:
    """``L_BD = L_Unsup + eta L_Dis`` of one step's merged features.

    It remembers the threshold that parts pairs to pull from pairs to push, and the evidence of the
    whole pool once the head is frozen.
    """

    def __init__(
        self, hyper: BDMerging, pool: Pool, evidence: EvidentialHead, heads: Mapping[str, Head]
    ) -> None:
        self._hyper = hyper
        self._pool = pool
        self._evidence = evidence
        self._heads = heads
        self.threshold = torch.full((), torch.nan, dtype=torch.float64)  # NaN: none yet
        self._bank_alpha: Float64[Tensor, "sample class"] | None = None

    def __call__(
        self, features: Float[Tensor, "sample feature"], drawn: Drawn
    ) -> Float[Tensor, ""]:
        """Give the loss of a step; call it once per step, in order."""
        loss = self._unsupervised(features)
        if self._hyper.eta:
            with torch.no_grad():
                split = self.split(features.detach(), drawn)
            contrast = contrastive_loss(features, split, self._hyper.temperature)
            loss = loss + self._hyper.eta * contrast
        if self._hyper.train_head == "both":
            alpha = self._evidence.alpha(self._pool.features[drawn.places])
            loss = loss + head_loss(self._hyper, alpha).to(loss.dtype)
        return loss

    def split(self, merged: Float[Tensor, "sample feature"], drawn: Drawn) -> Split:
        """Give which of a step's images to pull together and which to push apart."""
        hyper = self._hyper
        features, alpha, anchors = self._surroundings(merged, drawn)
        found = neighbours(
            normalize(features, dim=1),
            anchors,
            radius=hyper.radius,
            quantile=hyper.radius_quantile,
            minimum=hyper.min_neighbours,
        )
        near = found.near[:, anchors]
        if hyper.split == "radius":
            return Split(near, ~near & ~torch.eye(len(near), dtype=torch.bool, device=near.device))
        sharp = sharp_factor(sharpness(alpha, hyper.sharp), found, include_self=hyper.sharp_self)
        factors = sharp * div_factor(alpha, found) if hyper.div else sharp
        scores = factors[:, None] * conflict(alpha[anchors])
        scores = (scores + scores.T) / 2 if hyper.symmetric else scores
        current = threshold(scores, near, hyper.eps_quantile)
        if current is None:
            return Split(torch.zeros_like(near), torch.zeros_like(near))
        kept, last = hyper.eps_decay, self.threshold.item()
        eps = current if math.isnan(last) else kept * last + (1 - kept) * current
        self.threshold.fill_(eps)
        return split_at(scores, near, eps)

    def _surroundings(
        self, merged: Float[Tensor, "sample feature"], drawn: Drawn
    ) -> tuple[
        Float[Tensor, "pool feature"], Float64[Tensor, "pool class"], Int64[Tensor, " sample"]
    ]:
        """Give where neighbours are looked for, its evidence, and the step's places in it."""
        if self._hyper.pool == "bank":
            return self._pool.features, self._whole_alpha(), drawn.places
        pretrained = self._pool.features[drawn.places]
        features = merged if self._hyper.feature_space == "merged" else pretrained
        anchors = torch.arange(len(merged), device=merged.device)
        return features, self._evidence.alpha(pretrained), anchors

    def _whole_alpha(self) -> Float64[Tensor, "sample class"]:
        if self._bank_alpha is None or self._hyper.train_head == "both":
            self._bank_alpha = self._evidence.alpha(self._pool.features)
        return self._bank_alpha

    def _unsupervised(self, features: Float[Tensor, "sample feature"]) -> Float[Tensor, ""]:
        """Give the mean entropy of each task's images, summed over tasks."""
        entropy = softmax_entropy if self._hyper.entropy == "plain" else relative_entropy
        parts = features.split(self._hyper.batch_size)
        if self._hyper.entropy_over == "task":
            logits = [head(part) for head, part in zip(self._heads.values(), parts, strict=True)]
        else:
            logits = [torch.cat([h(part) for h in self._heads.values()], dim=1) for part in parts]
        return torch.stack([entropy(each).mean() for each in logits]).sum()
