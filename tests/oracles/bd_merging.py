"""BD-Merging's evidence, discrepancy and contrast from their formulas, one image at a time."""

import math

import numpy as np
from jaxtyping import Bool, Float


def digamma(x: float) -> float:
    """Give the logarithmic derivative of the gamma function, by recurrence and its asymptote."""
    shift = 0.0
    while x < 20:
        shift, x = shift - 1 / x, x + 1
    return shift + math.log(x) - 1 / (2 * x) - 1 / (12 * x**2) + 1 / (120 * x**4) - 1 / (252 * x**6)


def measures(alpha: Float[np.ndarray, " cls"]) -> dict[str, float]:
    """Give u, nu, kappa, H(p) and KL(Dir(alpha) || Dir(1)) of one image."""
    total, size = sum(alpha), len(alpha)
    first, second = sorted(alpha, reverse=True)[:2]
    p = [a / total for a in alpha]
    divergence = math.lgamma(total) - math.lgamma(size)
    for a in alpha:
        divergence += -math.lgamma(a) + (a - 1) * (digamma(a) - digamma(total))
    nu = (total / first) * (size / total) * (second / first)
    return {
        "uncertainty": size / total,
        "contradiction": nu,
        "clarity": -math.log(nu / size),
        "entropy": -sum(q * math.log(q) for q in p),
        "divergence": divergence,
    }


def sharpness(alpha: Float[np.ndarray, " cls"], kind: str) -> float:
    """Give one image's part of Sharp."""
    literal = math.log(sum(alpha) / max(alpha) - 1)
    if kind == "literal":
        return literal
    if kind == "softplus":
        return math.log1p(math.exp(literal)) / math.log(len(alpha))
    return 1 / (1 + math.exp(-literal)) if kind == "sigmoid" else 1.0


def near(
    features: Float[np.ndarray, "image feature"], *, quantile: float, minimum: int
) -> Bool[np.ndarray, "image image"]:
    """Give who is a neighbour of whom, an image of itself never."""
    count = len(features)
    unit = [row / np.linalg.norm(row) for row in features]
    distance = [[1 - float(a @ b) for b in unit] for a in unit]
    reach = np.quantile(
        [distance[i][j] for i in range(count) for j in range(count) if i != j], quantile
    )
    found = np.zeros((count, count), dtype=bool)
    for i in range(count):
        others = sorted((distance[i][j], j) for j in range(count) if j != i)
        for rank, (value, j) in enumerate(others):
            found[i, j] = value <= reach or rank < minimum
    return found


def discrepancies(
    alpha: Float[np.ndarray, "image cls"], neighbours: Bool[np.ndarray, "image image"], kind: str
) -> Float[np.ndarray, "image image"]:
    """Give ``Sharp_i Div_i Conf_ik`` for all pairs; NaN for images without neighbours."""
    count = len(alpha)
    p = [row / sum(row) for row in alpha]
    u = [len(row) / sum(row) for row in alpha]
    found = np.full((count, count), np.nan)
    for i in range(count):
        others = [j for j in range(count) if neighbours[i, j]]
        if not others:
            continue
        sharp = np.mean([sharpness(alpha[j], kind) for j in [i, *others]])
        div = np.mean([sum(abs(p[i] - p[j])) for j in others])
        for k in range(count):
            found[i, k] = sharp * div * sum(abs(p[i] - p[k])) * (1 - u[i]) * (1 - u[k])
    return found


def contrast(
    features: Float[np.ndarray, "image feature"],
    positive: Bool[np.ndarray, "image image"],
    negative: Bool[np.ndarray, "image image"],
    temperature: float,
) -> float:
    """Give the mean loss of the anchors that have pairs of both kinds."""
    unit = [row / np.linalg.norm(row) for row in features]
    losses = []
    for i in range(len(unit)):
        pull, push = np.flatnonzero(positive[i]), np.flatnonzero(negative[i])
        if not len(pull) or not len(push):
            continue
        size = {j: math.exp(float(unit[i] @ unit[j]) / temperature) for j in [*pull, *push]}
        losses.append(-np.mean([math.log(size[k] / sum(size.values())) for k in pull]))
    return float(np.mean(losses)) if losses else 0.0
