"""What predictions look like without labels, against numbers by hand."""

import math

import pytest
import torch
from torch import Tensor

from distmerge.coordinator.monitor import (
    Health,
    health,
    health_metrics,
    marginal_entropy,
    mean_agreement,
)
from distmerge.results import MEAN

FOUND = Health(0.5, 0.25, 0.5, 0.9, 4)
OTHER = Health(0.75, 0.75, 1.0, 0.8, 3)


def sure(*classes: int, num_classes: int = 4) -> Tensor:
    """Give logits that leave no doubt about the classes."""
    return 1000 * torch.eye(num_classes)[list(classes)]


def test_agreement_is_the_share_of_equal_predictions() -> None:
    assert health(sure(0, 1, 2, 3), sure(0, 1, 0, 0)).agreement == 0.5


def test_predicted_classes_are_a_share_of_the_individual_models() -> None:
    found = health(sure(0, 0, 1, 1), sure(0, 1, 2, 3))
    assert (found.predicted_classes, found.individual_classes) == (0.5, 4)


def test_the_individual_model_is_measured_beside() -> None:
    found = health(sure(0, 0, 0, 0), sure(0, 1, 0, 1))
    assert found.marginal_entropy == 0
    assert found.individual_entropy == pytest.approx(0.5, abs=1e-12)


def test_a_model_beside_itself_is_whole() -> None:
    own = sure(0, 1, 1, 3)
    found = health(own, own)
    assert (found.agreement, found.predicted_classes) == (1, 1)
    assert found.marginal_entropy == found.individual_entropy


def test_the_marginal_entropy_is_that_of_the_mean_probability() -> None:
    """(0.9, 0.1) and (0.5, 0.5) have the mean (0.7, 0.3)."""
    logits = torch.tensor([[0.9, 0.1], [0.5, 0.5]], dtype=torch.float64).log()
    by_hand = -(0.7 * math.log(0.7) + 0.3 * math.log(0.3)) / math.log(2)
    assert marginal_entropy(logits) == pytest.approx(by_hand, abs=1e-12)


@pytest.mark.parametrize(
    ("logits", "entropy"),
    [
        (sure(2, 2, 2), 0.0),
        (sure(0, 1, 2, 3), 1.0),
        (torch.zeros(3, 5), 1.0),
        (sure(0, 0, 1, 1), 0.5),
        (torch.zeros(3, 1), 0.0),
    ],
    ids=["one class for all", "every class once", "no idea", "two of four", "only one class"],
)
def test_the_marginal_entropy_of_extremes(logits: Tensor, entropy: float) -> None:
    assert marginal_entropy(logits) == pytest.approx(entropy, abs=1e-12)


def test_a_constant_added_to_all_logits_changes_nothing() -> None:
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    assert marginal_entropy(logits + 7) == pytest.approx(marginal_entropy(logits), abs=1e-6)


def test_the_mean_agreement_is_plain() -> None:
    assert mean_agreement({"alpha": FOUND, "beta": OTHER}) == 0.625


def test_rows_hold_the_start_the_end_and_weight_averaging() -> None:
    metrics = health_metrics({"a": OTHER}, {"a": FOUND}, {"a": OTHER}, 30)
    assert {m.suite for m in metrics} == {"adapt"}
    values = {m.metric: m.value for m in metrics if m.task == "a"}
    assert values == {
        "agreement:start": 0.75,
        "marginal_entropy:start": 0.75,
        "predicted_classes:start": 1.0,
        "agreement": 0.5,
        "marginal_entropy": 0.25,
        "predicted_classes": 0.5,
        "individual_entropy": 0.9,
        "individual_classes": 4.0,
        "averaging_agreement": 0.75,
    }
    means = {m.metric: m.value for m in metrics if m.task == MEAN}
    assert means == {**values, "kept_step": 30}
