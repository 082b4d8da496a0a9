import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from distmerge.methods.losses import relative_entropy, softmax_entropy
from tests.oracles import adamerging

SEEDS, CLASSES = st.integers(0, 10_000), st.integers(2, 9)


def logits_of(seed: int, classes: int, scale: float = 3.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(6, classes, generator=generator, dtype=torch.float64)


def test_the_golden_logits_give_their_golden_entropies() -> None:
    """algorithms.md 3.4."""
    logits = torch.tensor([[1.45, 0.65], [-0.7, 1.1]], dtype=torch.float64)
    golden = torch.tensor([0.6191210810, 0.4083095273], dtype=torch.float64)
    torch.testing.assert_close(softmax_entropy(logits), golden, rtol=0, atol=1e-10)


@given(SEEDS, CLASSES)
def test_entropy_equals_the_oracle(seed: int, classes: int) -> None:
    logits = logits_of(seed, classes)
    expected = [adamerging.entropy(row) for row in logits.numpy()]
    np.testing.assert_allclose(softmax_entropy(logits).numpy(), expected, rtol=0, atol=1e-12)


@given(SEEDS, CLASSES)
def test_the_gradient_of_entropy_is_its_closed_form(seed: int, classes: int) -> None:
    logits = logits_of(seed, classes).requires_grad_()
    softmax_entropy(logits).sum().backward()
    rows = [adamerging.entropy_gradient(row) for row in logits.detach().numpy()]
    torch.testing.assert_close(logits.grad, torch.tensor(np.stack(rows)), rtol=0, atol=1e-12)


@given(SEEDS, CLASSES, st.sampled_from([0.0, 1e-3, 1.0, 30.0, 1e4]))
def test_entropy_lies_between_nothing_and_that_of_a_guess(
    seed: int, classes: int, scale: float
) -> None:
    values = softmax_entropy(logits_of(seed, classes, scale))
    assert values.min() >= 0
    assert values.max() <= math.log(classes) + 1e-12


@pytest.mark.parametrize("classes", [2, 10, 397])
def test_equal_logits_give_the_logarithm_of_the_number_of_classes(classes: int) -> None:
    values = softmax_entropy(torch.full((3, classes), 7.0, dtype=torch.float64))
    torch.testing.assert_close(values, torch.full_like(values, math.log(classes)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_huge_logits_give_entropy_zero_and_a_finite_gradient(
    dtype: torch.dtype, size: float
) -> None:
    logits = torch.tensor([[size, 0.0, 0.0], [0.0, size, 2 * size]], dtype=dtype)
    logits = logits.requires_grad_()
    values = softmax_entropy(logits)
    values.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    expected = [0.0, 0.0] if size > 0 else [math.log(2), 0.0]
    assert values.tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("classes", [2, 10, 397])
def test_relative_entropy_of_a_guess_is_one_for_any_number_of_classes(classes: int) -> None:
    values = relative_entropy(torch.zeros(3, classes))
    torch.testing.assert_close(values, torch.ones(3), rtol=0, atol=1e-6)


@given(SEEDS, CLASSES)
def test_relative_entropy_is_the_share_of_the_largest_entropy(seed: int, classes: int) -> None:
    logits = logits_of(seed, classes)
    expected = softmax_entropy(logits) / math.log(classes)
    torch.testing.assert_close(relative_entropy(logits), expected, rtol=0, atol=1e-12)
