"""What is measured on which images: the search's score, and the clean report."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

from jaxtyping import Float, Int64
from torch import Tensor

from distmerge.evaluation.metrics import accuracy, agreement, expected_calibration_error
from distmerge.methods.losses import relative_entropy
from distmerge.results import Metric
from distmerge.tasks import LEVELS, Level

Criterion: TypeAlias = Literal["agreement", "entropy", "accuracy"]
Logits: TypeAlias = Mapping[str, Float[Tensor, "_ _"]]  # image x class of each task
Labels: TypeAlias = Mapping[str, Int64[Tensor, " _"]]
MEAN = "mean"  # the task column of a mean over tasks


def select_metrics(
    logits: Logits, individual: Logits, labels: Callable[[], Labels], criterion: Criterion
) -> tuple[Metric, ...]:
    """Give what a search compares runs by, on the select images.

    Agreement with the individual models and relative entropy need no label; ``labels`` is called
    for the criterion "accuracy" alone. The mean row ``score:CRITERION`` is higher for better runs.
    """
    values = {
        "agreement": {
            task: agreement(logits[task], individual[task].argmax(dim=1)) for task in logits
        },
        "entropy": {task: relative_entropy(logits[task]).mean().item() for task in logits},
    }
    if criterion == "accuracy":
        truth = labels()
        values["accuracy"] = {task: accuracy(logits[task], truth[task]) for task in logits}
    metrics = [row for name, by_task in values.items() for row in _rows("select", name, by_task)]
    mean = next(row.value for row in metrics if row.metric == criterion and row.task == MEAN)
    score = -mean if criterion == "entropy" else mean
    return (*metrics, Metric("select", MEAN, score_metric(criterion), score))


def score_metric(criterion: Criterion) -> str:
    """Give the name of the metric that a search by ``criterion`` raises."""
    return f"score:{criterion}"


def clean_metrics(logits: Logits, labels: Labels) -> tuple[Metric, ...]:
    """Give accuracy and calibration error on the report images, per task and their mean."""
    accuracies = {task: accuracy(logits[task], labels[task]) for task in logits}
    errors = {task: expected_calibration_error(logits[task], labels[task]) for task in logits}
    return (*_rows("clean", "accuracy", accuracies), *_rows("clean", "ece", errors))


def corrupted_metrics(
    level: Level, logits: Logits, labels: Labels, corruptions: Mapping[str, Sequence[str]]
) -> tuple[Metric, ...]:
    """Give accuracy and calibration error on corrupted report images, and by corruption.

    Args:
        level: L1, L2 or L3; the severity is its number.
        logits: per task.
        labels: per task.
        corruptions: per task, the corruption of every image.
    """
    plain = clean_metrics(logits, labels)
    rows = [row._replace(suite="corrupted", level=level) for row in plain]
    hits = [
        (corruption, bool(hit))
        for task in logits
        for corruption, hit in zip(
            corruptions[task], logits[task].argmax(dim=1) == labels[task], strict=True
        )
    ]
    for name in sorted({corruption for corruption, _ in hits}):
        found = [hit for corruption, hit in hits if corruption == name]
        row = Metric("corrupted", MEAN, "accuracy", sum(found) / len(found), name)
        rows.append(row._replace(severity=1 + LEVELS.index(level), level=level))
    return tuple(rows)


def unseen_metrics(logits: Logits, labels: Labels) -> tuple[Metric, ...]:
    """Give accuracy and calibration error on tasks that were not merged."""
    return tuple(row._replace(suite="unseen") for row in clean_metrics(logits, labels))


def _rows(suite: str, metric: str, by_task: Mapping[str, float]) -> tuple[Metric, ...]:
    rows = [Metric(suite, task, metric, value) for task, value in by_task.items()]
    mean = sum(by_task.values()) / len(by_task)
    return (*rows, Metric(suite, MEAN, metric, mean))
