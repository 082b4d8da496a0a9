"""What a task's predictions look like without labels, and the rows that a run keeps of it."""

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeAlias

from jaxtyping import Float
from torch import Tensor

from distmerge.results import ADAPT, MEAN, Metric


class Health(NamedTuple):
    """A task's predictions beside those of its individual model, on the same images."""

    agreement: float
    """Share of images on which both predict the same class."""
    marginal_entropy: float
    """From 0, one class for all images, to 1, all classes alike."""
    predicted_classes: float
    """Distinct predicted classes, over those that the individual model predicts."""
    individual_entropy: float
    """The individual model's marginal entropy."""
    individual_classes: int
    """Distinct classes that the individual model predicts."""


Healths: TypeAlias = Mapping[str, Health]  # by task


def health(
    logits: Float[Tensor, "sample class"], individual: Float[Tensor, "sample class"]
) -> Health:
    """Give what predictions look like beside the individual model's."""
    found, own = logits.argmax(dim=1), individual.argmax(dim=1)
    num_own = len(own.unique())
    return Health(
        agreement=(found == own).double().mean().item(),
        marginal_entropy=marginal_entropy(logits),
        predicted_classes=len(found.unique()) / num_own,
        individual_entropy=marginal_entropy(individual),
        individual_classes=num_own,
    )


def marginal_entropy(logits: Float[Tensor, "sample class"]) -> float:
    """Give the entropy of the mean of ``softmax(logits)`` over images, over ``ln class``.

    It is in [0, 1], and 0 where there is only one class.
    """
    mean = logits.double().softmax(dim=1).mean(dim=0)
    entropy = -mean.xlogy(mean).sum().item()
    return entropy / math.log(max(2, logits.shape[1]))


def mean_agreement(found: Healths) -> float:
    """Give the plain mean of the tasks' agreement."""
    return sum(each.agreement for each in found.values()) / len(found)


def health_metrics(
    start: Healths, final: Healths, averaging: Healths, kept_step: int
) -> tuple[Metric, ...]:
    """Give the rows of a run: before the first step (``:start``), at the end, and of averaging."""
    changing = ("agreement", "marginal_entropy", "predicted_classes")
    return (
        *_rows(start, {name: f"{name}:start" for name in changing}),
        *_rows(final, {name: name for name in Health._fields}),
        *_rows(averaging, {"agreement": "averaging_agreement"}),
        Metric(ADAPT, MEAN, "kept_step", kept_step),
    )


def _rows(found: Healths, names: Mapping[str, str]) -> Iterator[Metric]:
    for field, name in names.items():
        values = {task: float(getattr(each, field)) for task, each in found.items()}
        yield from (Metric(ADAPT, task, name, value) for task, value in values.items())
        yield Metric(ADAPT, MEAN, name, sum(values.values()) / len(values))
