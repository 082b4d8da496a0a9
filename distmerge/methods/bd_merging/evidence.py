"""Evidence for classes as a Dirichlet distribution, and the head that gives it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from torch.nn.functional import linear, normalize, one_hot

from distmerge.errors import ConfigError
from distmerge.models import Head

_SMALLEST_DEVIATION = 1e-8  # of a batch whose values are all equal


@dataclass(frozen=True)
class EvidentialHead:
    """Evidence ``exp(min(logit - offset, cap))`` for the classes of all tasks.

    The logits are those of the tasks' heads side by side; ``labels`` says which class of the
    unified label space each of them speaks for. Source: algorithms.md 3.9, rows 10 and 11.
    """

    tasks: tuple[str, ...]
    sizes: tuple[int, ...]
    weight: Float[Tensor, "pair feature"]
    bias: Float[Tensor, " pair"]
    centers: Float[Tensor, "task feature"]
    aliases: str
    labels: Int64[Tensor, " pair"]
    offset: float
    cap: float

    @classmethod
    def of(cls, heads: Mapping[str, Head], aliases: str, cap: float) -> "EvidentialHead":
        """Give the head that starts with the weights of all ``heads``; its offset is 0.

        Raises:
            ConfigError: a head is linear; or an alias is malformed, or names a task or class that
                is not there, or the aliases leave one class only.
        """
        linear_heads = [task for task, head in heads.items() if not head.normalised]
        if linear_heads:
            raise ConfigError(
                f"bd_merging: the heads of {', '.join(linear_heads)} are linear; expected heads "
                "that normalise features, as evidence is made for; leave its pipelines out"
            )
        parts = list(heads.values())
        tasks, sizes = tuple(heads), tuple(len(head.weight) for head in parts)
        weight = torch.cat([head.weight for head in parts])
        labels = label_numbers(tasks, sizes, aliases).to(weight.device)
        bias = torch.cat([head.bias for head in parts])
        centers = torch.stack([head.center for head in parts])
        return cls(tasks, sizes, weight, bias, centers, aliases, labels, 0.0, cap)

    @property
    def num_classes(self) -> int:
        """Size of the unified label space."""
        return int(self.labels.max()) + 1

    def logits(self, features: Float[Tensor, "sample feature"]) -> Float[Tensor, "sample pair"]:
        """Give every (task, class) pair's logit for features that are not normalised."""
        parts = zip(
            self.centers, self.weight.split(self.sizes), self.bias.split(self.sizes), strict=True
        )
        return torch.cat(
            [linear(normalize(features - c, dim=-1), w, b) for c, w, b in parts], dim=1
        )

    def alpha(self, features: Float[Tensor, "sample feature"]) -> Float64[Tensor, "sample class"]:
        """Give the Dirichlet parameters; in float64, since evidence spans many magnitudes."""
        exponent = (self.logits(features).double() - self.offset).clamp(max=self.cap)
        shape = (len(features), self.num_classes)
        empty = torch.zeros(shape, dtype=torch.float64, device=features.device)
        return empty.index_add(1, self.labels, exponent.exp()) + 1


def calibrated_offset(
    logits: Float[Tensor, "sample pair"], num_classes: int, uncertainty: float
) -> float:
    """Give the offset with which the median image has that ``uncertainty``.

    ``u = L / (L + total evidence)``. Source: algorithms.md 3.9, row 10.
    """
    wanted = num_classes * (1 - uncertainty) / uncertainty
    totals = logits.double().logsumexp(dim=1).cpu().numpy()
    return float(torch.from_numpy(totals).quantile(0.5)) - math.log(wanted)


def label_numbers(
    tasks: Sequence[str], sizes: Sequence[int], aliases: str
) -> Int64[Tensor, " pair"]:
    """Give the unified class of every (task, class) pair; ``aliases`` as in the settings.

    Raises:
        ConfigError: an alias is malformed, or names a task or class that is not there, or the
            aliases leave one class only.
    """
    pairs = [f"{t}.{c}" for t, size in zip(tasks, sizes, strict=True) for c in range(size)]
    root = {pair: pair for pair in pairs}
    for alias in filter(None, (part.strip() for part in aliases.split(","))):
        names = [name.strip() for name in alias.split("=")]
        if len(names) != 2 or not all(name in root for name in names):
            raise ConfigError(
                f"aliases: got {alias!r}; expected TASK.NUMBER=TASK.NUMBER with the tasks "
                f"{', '.join(tasks)} and {', '.join(map(str, sizes))} classes"
            )
        kept, merged = (root[name] for name in names)
        root = {pair: kept if r == merged else r for pair, r in root.items()}
    classes = {name: number for number, name in enumerate(dict.fromkeys(root.values()))}
    if len(classes) < 2:
        raise ConfigError(
            "aliases: all classes of all tasks are made one; expected two or more to be left"
        )
    return torch.tensor([classes[root[pair]] for pair in pairs])


def probability(alpha: Float[Tensor, "sample class"]) -> Float[Tensor, "sample class"]:
    """Give the expected class probabilities ``alpha / S``."""
    return alpha / alpha.sum(dim=1, keepdim=True)


def belief(alpha: Float[Tensor, "sample class"]) -> Float[Tensor, "sample class"]:
    """Give ``(alpha - 1) / S``; with the uncertainty it sums to 1."""
    return (alpha - 1) / alpha.sum(dim=1, keepdim=True)


def uncertainty(alpha: Float[Tensor, "sample class"]) -> Float[Tensor, " sample"]:
    """Give ``L / S``: 1 without evidence, towards 0 with much."""
    return alpha.shape[1] / alpha.sum(dim=1)


def contradiction(alpha: Float[Tensor, "sample class"]) -> Float[Tensor, " sample"]:
    """Give ``nu = L alpha_2 / alpha_1^2`` of the two largest: L without evidence.

    Source: arXiv:2603.03920, the inter-evidence contradiction, in closed form.
    """
    top = alpha.topk(2, dim=1).values
    return alpha.shape[1] * top[:, 1] / top[:, 0].square()


def clarity(alpha: Float[Tensor, "sample class"]) -> Float[Tensor, " sample"]:
    """Give ``kappa = -ln(nu / L) = 2 ln alpha_1 - ln alpha_2``: 0 without evidence."""
    top = alpha.topk(2, dim=1).values.log()
    return 2 * top[:, 0] - top[:, 1]


def expected_entropy(alpha: Float[Tensor, "sample class"]) -> Float[Tensor, " sample"]:
    """Give the entropy of ``probability(alpha)``."""
    p = probability(alpha)
    return -(p * p.log()).sum(dim=1)


def divergence_from_ignorance(alpha: Float[Tensor, "sample class"]) -> Float[Tensor, " sample"]:
    """Give ``KL(Dir(alpha) || Dir(1))``."""
    total = alpha.sum(dim=1, keepdim=True)
    constants = total.lgamma().squeeze(1) - alpha.lgamma().sum(dim=1) - math.lgamma(alpha.shape[1])
    return constants + ((alpha - 1) * (alpha.digamma() - total.digamma())).sum(dim=1)


def evidence_penalty(
    alpha: Float[Tensor, "sample class"], kind: Literal["per_class", "full", "misleading"]
) -> Float[Tensor, " sample"]:
    """Give the pull to no evidence. Source: algorithms.md 3.9, row 12."""
    if kind == "misleading":
        largest = one_hot(alpha.argmax(dim=1), alpha.shape[1])
        return divergence_from_ignorance(torch.where(largest == 1, 1.0, alpha))
    divergence = divergence_from_ignorance(alpha)
    return divergence / alpha.shape[1] if kind == "per_class" else divergence


def correlation(x: Float[Tensor, " sample"], y: Float[Tensor, " sample"]) -> Float[Tensor, ""]:
    """Give Pearson's correlation; 0 where one of the two is constant."""
    x, y = x - x.mean(), y - y.mean()
    deviations = [part.square().mean().clamp(min=_SMALLEST_DEVIATION**2).sqrt() for part in (x, y)]
    return (x * y).mean() / (deviations[0] * deviations[1])


def inverse_correlation_loss(
    alpha: Float[Tensor, "sample class"], kind: Literal["clarity", "literal"]
) -> Float[Tensor, ""]:
    """Give ``1 + correlation``, in [0, 2], of the uncertainty and what should fall with it.

    Departs: the notes name nu, which rises with u by definition, so the default takes ``clarity``
    (algorithms.md 3.9, row 13).
    """
    measure = clarity(alpha) if kind == "clarity" else contradiction(alpha)
    return 1 + correlation(uncertainty(alpha), measure)
