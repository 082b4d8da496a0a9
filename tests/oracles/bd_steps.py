"""BD-Merging's evidence, routing and the losses of whole steps, one image at a time in float64.

Source: algorithms.md 3.8 and the defaults of 3.9.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool

from tests.oracles.adamerging import Array, entropy
from tests.oracles.bd_merging import contrast, measures, sharpness

Pairs: TypeAlias = Bool[np.ndarray, "anchor anchor"]
OracleHead: TypeAlias = tuple[Array, Array, Array]  # weight, bias, center


@dataclass(frozen=True)
class Rules:
    """How images are parted; the defaults are those of algorithms.md 3.9."""

    sharp: str = "softplus"
    sharp_self: bool = True
    div: bool = True
    symmetric: bool = False
    split: str = "discrepancy"
    radius: float = 0.0
    radius_quantile: float = 0.25
    min_neighbours: int = 4
    eps_quantile: float = 0.5
    eps_decay: float = 0.9


def logits(features: Array, head: OracleHead) -> Array:
    """Give one image's logits: the head reads the normalised distance from its center."""
    weight, bias, center = head
    direction = (features - center) / np.linalg.norm(features - center)
    return np.array([float(w @ direction) + float(b) for w, b in zip(weight, bias, strict=True)])


def evidence(features: Array, heads: Sequence[OracleHead], offset: float, cap: float) -> Array:
    """Give every image's Dirichlet parameters over all (task, class) pairs."""
    rows = []
    for image in features:
        every = [value for head in heads for value in logits(image, head)]
        rows.append([1 + math.exp(min(value - offset, cap)) for value in every])
    return np.array(rows)


def calibrated_offset(features: Array, heads: Sequence[OracleHead], u: float) -> float:
    """Give the offset with which the median image has uncertainty ``u``."""
    totals = []
    for image in features:
        every = [value for head in heads for value in logits(image, head)]
        totals.append(math.log(sum(math.exp(value) for value in every)))
    size = sum(len(weight) for weight, _, _ in heads)
    return float(np.median(totals)) - math.log(size * (1 - u) / u)


def head_loss(alpha: Array, *, kl: str, kl_weight: float, inverse: str, gamma: float) -> float:
    """Give ``H(p) + lambda KL + gamma (1 + correlation)`` of a batch."""
    known = [measures(row) for row in alpha]
    total = 0.0
    for row, values in zip(alpha, known, strict=True):
        pull = values["divergence"]
        if kl == "misleading":
            others = row.copy()
            others[int(np.argmax(row))] = 1
            pull = measures(others)["divergence"]
        total += values["entropy"] + kl_weight * (pull / len(row) if kl == "per_class" else pull)
    falls = [values["clarity" if inverse == "clarity" else "contradiction"] for values in known]
    related = np.corrcoef([values["uncertainty"] for values in known], falls)[0, 1]
    return total / len(alpha) + gamma * (1 + float(related))


def routing(
    tokens: Array, scaling: tuple[Array, Array], hidden: tuple[Array, Array], out: Array
) -> Array:
    """Give one image's weights, task by group: softmax over tasks of a perceptron with GELU."""
    center, scale = scaling
    weight, bias = hidden
    before = weight @ ((tokens - center) / scale) + bias
    units = np.array([0.5 * x * (1 + math.erf(x / math.sqrt(2))) for x in before])
    powers = np.exp(out @ units)
    shares: Array = powers / powers.sum(axis=0)
    return shares


class Steps:
    """Gives ``L_BD`` of one step after the other; the threshold is remembered between them."""

    def __init__(self, rules: Rules, heads: Sequence[OracleHead], eta: float) -> None:
        self.rules, self.heads, self.eta = rules, heads, eta
        self.eps: float | None = None

    def loss(self, merged: Array, pool: Array, alpha: Array, anchors: Sequence[int]) -> float:
        """Give a step's loss; ``merged`` are its images, task after task, at ``anchors``."""
        size, total = len(merged) // len(self.heads), 0.0
        for number, head in enumerate(self.heads):
            batch = merged[number * size : (number + 1) * size]
            total += float(np.mean([entropy(logits(image, head)) for image in batch]))
        positive, negative = self._parted(pool, alpha, anchors)
        return total + self.eta * contrast(merged, positive, negative, 0.1)

    def _parted(self, pool: Array, alpha: Array, anchors: Sequence[int]) -> tuple[Pairs, Pairs]:
        near = self._near(pool, anchors)
        known = [[j in near[a] for j in anchors] for a in range(len(anchors))]
        beside = np.array(known)
        if self.rules.split == "radius":
            return beside, ~beside & ~np.eye(len(anchors), dtype=bool)
        scores = self._scores(alpha, near, anchors)
        current = float(np.quantile(scores[beside], self.rules.eps_quantile))
        kept = self.rules.eps_decay
        self.eps = current if self.eps is None else kept * self.eps + (1 - kept) * current
        return beside & (scores < self.eps), beside & (scores >= self.eps)

    def _near(self, pool: Array, anchors: Sequence[int]) -> list[set[int]]:
        unit = [row / np.linalg.norm(row) for row in pool]
        far = {(a, j): 1 - float(unit[a] @ unit[j]) for a in anchors for j in range(len(pool))}
        others = [value for (a, j), value in far.items() if a != j]
        reach = self.rules.radius or float(np.quantile(others, self.rules.radius_quantile))
        found = []
        for a in anchors:
            order = sorted((far[a, j], j) for j in range(len(pool)) if j != a)
            least = self.rules.min_neighbours
            found.append({j for n, (value, j) in enumerate(order) if value <= reach or n < least})
        return found

    def _scores(self, alpha: Array, near: list[set[int]], anchors: Sequence[int]) -> Array:
        p = alpha / alpha.sum(axis=1, keepdims=True)
        certain = 1 - alpha.shape[1] / alpha.sum(axis=1)
        scores = np.zeros((len(anchors), len(anchors)))
        for row, a in enumerate(anchors):
            around = sorted(near[row] | ({a} if self.rules.sharp_self else set()))
            factor = np.mean([sharpness(alpha[j], self.rules.sharp) for j in around])
            if self.rules.div:
                factor *= np.mean([abs(p[a] - p[j]).sum() for j in near[row]])
            for column, b in enumerate(anchors):
                scores[row, column] = factor * abs(p[a] - p[b]).sum() * certain[a] * certain[b]
        return (scores + scores.T) / 2 if self.rules.symmetric else scores
