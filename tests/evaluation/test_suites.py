"""The suites on logits small enough to check by hand."""

import math

import pytest
import torch
from torch import Tensor

from distmerge.evaluation import (
    MEAN,
    clean_metrics,
    corrupted_metrics,
    select_metrics,
    unseen_metrics,
)
from distmerge.results import Metric

# alpha: right on 1 of 2, agrees on 2 of 2; beta: right on 3 of 4, agrees on 2 of 4.
LOGITS = {
    "alpha": torch.tensor([[5.0, 1.0], [0.0, 3.0]]),
    "beta": torch.tensor([[9.0, 0, 0], [9.0, 0, 0], [0, 9.0, 0], [0, 0, 9.0]]),
}
INDIVIDUAL = {
    "alpha": torch.tensor([[2.0, 1.0], [1.0, 2.0]]),
    "beta": torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 1.0, 0], [0, 1.0, 0]]),
}
LABELS = {"alpha": torch.tensor([0, 0]), "beta": torch.tensor([0, 1, 1, 2])}


def values(metrics: tuple[Metric, ...], suite: str, name: str) -> dict[str, float]:
    return {m.task: m.value for m in metrics if (m.suite, m.metric) == (suite, name)}


def sealed() -> dict[str, Tensor]:
    raise AssertionError("the labels were asked for")


def test_agreement_is_counted_per_task_and_in_the_plain_mean() -> None:
    metrics = select_metrics(LOGITS, INDIVIDUAL, sealed, "agreement")
    assert values(metrics, "select", "agreement") == {"alpha": 1.0, "beta": 0.5, MEAN: 0.75}


def test_entropy_is_relative_to_that_of_a_guess() -> None:
    guess = {"alpha": torch.zeros(2, 2), "beta": torch.tensor([[0.0, 0.0, -1e4]] * 4)}
    metrics = select_metrics(guess, INDIVIDUAL, sealed, "entropy")
    beta = math.log(2) / math.log(3)
    expected = {"alpha": 1.0, "beta": beta, MEAN: (1 + beta) / 2}
    assert values(metrics, "select", "entropy") == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("criterion", "sign"), [("agreement", 1), ("accuracy", 1), ("entropy", -1)]
)
def test_a_higher_score_is_better_for_every_criterion(criterion: str, sign: int) -> None:
    metrics = select_metrics(LOGITS, INDIVIDUAL, lambda: LABELS, criterion)  # type: ignore[arg-type]  # a literal
    score = values(metrics, "select", f"score:{criterion}")
    assert score == {MEAN: sign * values(metrics, "select", criterion)[MEAN]}


@pytest.mark.parametrize("criterion", ["agreement", "entropy"])
def test_labels_are_not_asked_for_unless_they_are_the_criterion(criterion: str) -> None:
    metrics = select_metrics(LOGITS, INDIVIDUAL, sealed, criterion)  # type: ignore[arg-type]  # a literal
    assert {m.metric for m in metrics} == {"agreement", "entropy", f"score:{criterion}"}


def test_the_criterion_accuracy_asks_for_the_labels_once() -> None:
    asked: list[int] = []

    def labels() -> dict[str, Tensor]:
        asked.append(1)
        return LABELS

    metrics = select_metrics(LOGITS, INDIVIDUAL, labels, "accuracy")
    assert values(metrics, "select", "accuracy") == {"alpha": 0.5, "beta": 0.75, MEAN: 0.625}
    assert asked == [1]


def test_clean_accuracy_is_counted_per_task_and_in_the_plain_mean() -> None:
    metrics = clean_metrics(LOGITS, LABELS)
    assert values(metrics, "clean", "accuracy") == {"alpha": 0.5, "beta": 0.75, MEAN: 0.625}


def test_clean_calibration_is_measured_per_task_and_in_the_plain_mean() -> None:
    sure = {"alpha": 1e3 * LOGITS["alpha"], "beta": 1e3 * LOGITS["beta"]}
    expected = {"alpha": 0.5, "beta": 0.25, MEAN: 0.375}
    assert values(clean_metrics(sure, LABELS), "clean", "ece") == pytest.approx(expected)


def test_clean_metrics_hold_nothing_else() -> None:
    metrics = clean_metrics(LOGITS, LABELS)
    assert len(metrics) == 6
    assert {(m.suite, m.metric) for m in metrics} == {("clean", "accuracy"), ("clean", "ece")}
    assert {(m.corruption, m.severity, m.level) for m in metrics} == {(None, None, None)}


def test_tasks_come_in_order_and_the_mean_last() -> None:
    backward = (dict(reversed(by_task.items())) for by_task in (LOGITS, LABELS))
    metrics = clean_metrics(*backward)
    assert [m.task for m in metrics] == ["beta", "alpha", MEAN] * 2


def test_corrupted_metrics_are_clean_ones_with_their_level_and_one_row_per_corruption() -> None:
    logits = {"a": torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])}
    labels = {"a": torch.tensor([0, 1, 1])}
    names = {"a": ["contrast", "contrast", "spatter"]}
    rows = corrupted_metrics("L2", logits, labels, names)
    assert {(row.suite, row.level) for row in rows} == {("corrupted", "L2")}
    plain = {row.metric: row.value for row in rows if row.task == "a"}
    assert plain["accuracy"] == pytest.approx(2 / 3)
    by_corruption = {row.corruption: row for row in rows if row.corruption}
    assert by_corruption["contrast"].value == 1.0
    assert by_corruption["spatter"].value == 0.0
    assert by_corruption["spatter"].severity == 2


def test_unseen_metrics_are_clean_ones_of_their_own_suite() -> None:
    logits, labels = {"z": torch.tensor([[1.0, 0.0]])}, {"z": torch.tensor([0])}
    rows = unseen_metrics(logits, labels)
    assert {row.suite for row in rows} == {"unseen"}
    assert [row[1:] for row in rows] == [row[1:] for row in clean_metrics(logits, labels)]
