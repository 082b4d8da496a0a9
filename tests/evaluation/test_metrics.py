"""Accuracy, agreement and calibration against numbers by hand and a NumPy oracle."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float, Int
from torch import Tensor

from distmerge.errors import DataError, DivergenceError
from distmerge.evaluation.metrics import accuracy, agreement, expected_calibration_error
from tests.oracles import calibration

Measure = Callable[[Tensor, Tensor], float]
MEASURES = (accuracy, agreement, expected_calibration_error)


def calibrated(confidence: float, images: int) -> tuple[Float[Tensor, "i c"], Int[Tensor, " i"]]:
    """Two-class logits of one confidence, of which exactly that share is right."""
    logits = torch.tensor([[confidence, 1 - confidence]], dtype=torch.float64).log()
    labels = torch.ones(images, dtype=torch.int64)
    labels[: round(confidence * images)] = 0
    return logits.expand(images, 2), labels


def test_accuracy_is_the_share_of_largest_logits_at_the_label() -> None:
    logits = torch.tensor([[3.0, 1.0], [0.0, 2.0], [5.0, 4.0], [0.0, 1.0]])
    assert accuracy(logits, torch.tensor([0, 1, 1, 1])) == 0.75


def test_agreement_is_the_share_of_equal_predictions() -> None:
    logits = torch.tensor([[3.0, 1.0], [0.0, 2.0], [5.0, 4.0]])
    assert agreement(logits, torch.tensor([1, 1, 1])) == pytest.approx(1 / 3)


@pytest.mark.parametrize("confidence", [0.51, 0.6, 0.75, 0.8, 0.93])
def test_a_perfectly_calibrated_model_has_no_calibration_error(confidence: float) -> None:
    assert expected_calibration_error(*calibrated(confidence, 100)) == pytest.approx(0, abs=1e-12)


def test_a_model_that_is_calibrated_in_every_bin_has_no_calibration_error() -> None:
    parts = [calibrated(confidence, 100) for confidence in (0.55, 0.7, 0.9)]
    logits, labels = (torch.cat(column) for column in zip(*parts, strict=True))
    assert expected_calibration_error(logits, labels) == pytest.approx(0, abs=1e-12)


def test_a_sure_model_that_is_always_wrong_has_calibration_error_one() -> None:
    logits = torch.tensor([[1000.0, 0.0]]).repeat(4, 1)
    labels = torch.ones(4, dtype=torch.int64)
    assert expected_calibration_error(logits, labels) == 1.0


def test_a_confidence_on_an_edge_belongs_to_the_lower_bin() -> None:
    # Bins (0, 1/2] and (1/2, 1]: apart, 0.5 hit at confidence 0.5 gives 0, and 0.75 gives 0.25;
    # in one bin they would give |2/3 - 7/12| = 1/12.
    probabilities = torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.75, 0.25]], dtype=torch.float64)
    error = expected_calibration_error(probabilities.log(), torch.tensor([0, 1, 0]), bins=2)
    assert error == pytest.approx(0.25 / 3, abs=1e-12)


@given(
    seed=st.integers(0, 10_000),
    images=st.integers(1, 60),
    classes=st.integers(2, 7),
    bins=st.integers(1, 20),
    scale=st.sampled_from([0.1, 1.0, 10.0]),
)
def test_calibration_error_equals_the_oracle(
    seed: int, images: int, classes: int, bins: int, scale: float
) -> None:
    random = np.random.default_rng(seed)
    logits = scale * random.standard_normal((images, classes))
    labels = random.integers(0, classes, images)
    got = expected_calibration_error(torch.from_numpy(logits), torch.from_numpy(labels), bins=bins)
    wanted = calibration.expected_calibration_error(calibration.softmax(logits), labels, bins)
    assert got == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("metric", MEASURES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_half_precision_logits_are_measured_in_double(metric: Measure, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 4, generator=generator).to(dtype)
    labels = torch.arange(50) % 4
    assert metric(logits, labels) == metric(logits.double(), labels)


@pytest.mark.parametrize("metric", MEASURES)
def test_no_images_are_an_error(metric: Measure) -> None:
    with pytest.raises(DataError, match="no images"):
        metric(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))


@pytest.mark.parametrize("metric", MEASURES)
def test_logits_that_are_not_numbers_are_an_error(metric: Measure) -> None:
    logits = torch.tensor([[0.0, 1.0], [math.nan, 0.0]])
    with pytest.raises(DivergenceError, match="logits of 1 of 2 images"):
        metric(logits, torch.tensor([0, 1]))
