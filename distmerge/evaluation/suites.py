"""What is measured on which images: the search's score, and the reports."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

from jaxtyping import Float, Int64
from torch import Tensor

from distmerge.evaluation.metrics import accuracy, agreement, expected_calibration_error, hits
from distmerge.evaluation.routing import (
    routing_accuracy,
    routing_weight,
    uncertainty_auroc,
    uncertainty_ece,
    unified_accuracy,
    withheld_accuracy,
)
from distmerge.methods.contract import Answers
from distmerge.methods.losses import relative_entropy
from distmerge.models import Head
from distmerge.results import MEAN, Metric
from distmerge.tasks import LEVELS, Level

Criterion: TypeAlias = Literal["agreement", "entropy", "accuracy"]
Logits: TypeAlias = Mapping[str, Float[Tensor, "_ _"]]  # image x class of each task
Labels: TypeAlias = Mapping[str, Int64[Tensor, " _"]]


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
    rows = list(on_level(plain, level))
    answered = [
        (corruption, bool(hit))
        for task in logits
        for corruption, hit in zip(corruptions[task], hits(logits[task], labels[task]), strict=True)
    ]
    for name in sorted({corruption for corruption, _ in answered}):
        found = [hit for corruption, hit in answered if corruption == name]
        row = Metric("corrupted", MEAN, "accuracy", sum(found) / len(found), name)
        rows.append(row._replace(severity=1 + LEVELS.index(level), level=level))
    return tuple(rows)


def unseen_metrics(logits: Logits, labels: Labels) -> tuple[Metric, ...]:
    """Give accuracy and calibration error on tasks that were not merged."""
    return on_unseen(clean_metrics(logits, labels))


def routed_metrics(
    answers: Mapping[str, Answers], heads: Mapping[str, Head], labels: Labels
) -> tuple[Metric, ...]:
    """Give what only a routed model has on the report images, per task and in the mean.

    ``routing_accuracy`` and ``routing_weight`` of the true task; accuracy with the task withheld:
    ``accuracy_withheld`` where the largest weight names the head, ``accuracy_unified`` over the
    classes of all heads side by side; and the rows of ``uncertainty_metrics``.

    Args:
        answers: per task; columns of the routing are in the order of the heads.
        heads: per task.
        labels: per task.
    """
    by_task = {
        task: _routed(found, heads, labels[task], list(heads).index(task))
        for task, found in answers.items()
    }
    return (*task_rows("clean", by_task), *uncertainty_metrics(answers, heads, labels))


def uncertainty_metrics(
    answers: Mapping[str, Answers], heads: Mapping[str, Head], labels: Labels
) -> tuple[Metric, ...]:
    """Give how well uncertainty tells right from wrong answers of the true task's head.

    ``uncertainty_ece`` of the confidence 1 - u, and ``uncertainty_auroc``.
    """
    by_task = {}
    for task, (features, _, uncertainty) in answers.items():
        right = hits(heads[task](features), labels[task])
        by_task[task] = {
            "uncertainty_ece": uncertainty_ece(uncertainty, right),
            "uncertainty_auroc": uncertainty_auroc(uncertainty, right),
        }
    return task_rows("clean", by_task)


def on_level(rows: Sequence[Metric], level: Level) -> tuple[Metric, ...]:
    """Give rows of the clean suite as rows of a level of corruption."""
    return tuple(row._replace(suite="corrupted", level=level) for row in rows)


def on_unseen(rows: Sequence[Metric]) -> tuple[Metric, ...]:
    """Give rows of the clean suite as rows of tasks that were not merged."""
    return tuple(row._replace(suite="unseen") for row in rows)


def _routed(
    answers: Answers, heads: Mapping[str, Head], labels: Int64[Tensor, " sample"], expert: int
) -> dict[str, float]:
    logits = [head(answers.features) for head in heads.values()]
    named = answers.routing.argmax(dim=1)
    return {
        "routing_accuracy": routing_accuracy(named, expert),
        "routing_weight": routing_weight(answers.routing, expert),
        "accuracy_withheld": withheld_accuracy(named, hits(logits[expert], labels), expert),
        "accuracy_unified": unified_accuracy(logits, labels, expert),
    }


def task_rows(suite: str, by_task: Mapping[str, Mapping[str, float]]) -> tuple[Metric, ...]:
    """Give rows of every task's values by name, and of their means."""
    names = next(iter(by_task.values()))
    return tuple(
        row
        for name in names
        for row in _rows(suite, name, {task: values[name] for task, values in by_task.items()})
    )


def _rows(suite: str, metric: str, by_task: Mapping[str, float]) -> tuple[Metric, ...]:
    rows = [Metric(suite, task, metric, value) for task, value in by_task.items()]
    mean = sum(by_task.values()) / len(by_task)
    return (*rows, Metric(suite, MEAN, metric, mean))
