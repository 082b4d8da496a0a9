"""BD-Merging's Dirichlet evidence: golden numbers, limits, an oracle and the head that gives it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Dirichlet, kl_divergence

from distmerge.errors import ConfigError
from distmerge.methods.bd_merging import BDMerging
from distmerge.methods.bd_merging.evidence import (
    EvidentialHead,
    belief,
    calibrated_offset,
    clarity,
    contradiction,
    correlation,
    divergence_from_ignorance,
    evidence_penalty,
    expected_entropy,
    inverse_correlation_loss,
    label_numbers,
    probability,
    uncertainty,
)
from distmerge.methods.bd_merging.objective import head_loss
from distmerge.models import Head
from tests.oracles import bd_merging as oracle

GOLDEN = torch.tensor([[9, 1, 1, 1], [4, 2, 1, 1], [2, 2, 2, 2], [1, 1, 1, 1]], dtype=torch.float64)
HEADS = {
    "alpha": Head(torch.tensor([[10.0, 0], [0, 10]]), torch.tensor([0.0, 1]), torch.zeros(2)),
    "beta": Head(torch.tensor([[5.0, 5]] * 3), torch.zeros(3), torch.tensor([1.0, 0])),
}


def random_alpha(images: int = 20, classes: int = 7) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return 1 + torch.randn(images, classes, generator=generator, dtype=torch.float64).exp() ** 2


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (uncertainty, [1 / 3, 0.5, 0.5, 1]),
        (contradiction, [0.049383, 0.5, 2, 4]),
        (clarity, [4.394449, 2.079442, 0.693147, 0]),
        (expected_entropy, [0.836988, 1.213008, 1.386294, 1.386294]),
        (divergence_from_ignorance, [2.689784, 1.070214, 0.361973, 0]),
    ],
)
def test_golden_measures_of_evidence(measure, expected: list[float]) -> None:  # type: ignore[no-untyped-def]
    torch.testing.assert_close(measure(GOLDEN), torch.tensor(expected).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "measure"),
    [
        ("uncertainty", uncertainty),
        ("contradiction", contradiction),
        ("clarity", clarity),
        ("entropy", expected_entropy),
        ("divergence", divergence_from_ignorance),
    ],
)
def test_measures_are_those_of_the_oracle(name: str, measure) -> None:  # type: ignore[no-untyped-def]
    alpha = random_alpha()
    expected = [oracle.measures(row)[name] for row in alpha.numpy()]
    np.testing.assert_allclose(measure(alpha).numpy(), expected, rtol=1e-9, atol=1e-12)


def test_beliefs_and_uncertainty_sum_to_one() -> None:
    alpha = random_alpha()
    total = belief(alpha).sum(dim=1) + uncertainty(alpha)
    torch.testing.assert_close(total, torch.ones(20).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(probability(alpha).sum(dim=1), torch.ones(20).double())


def test_the_divergence_is_that_of_torch() -> None:
    alpha = random_alpha()
    expected = kl_divergence(Dirichlet(alpha), Dirichlet(torch.ones_like(alpha)))
    torch.testing.assert_close(divergence_from_ignorance(alpha), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("full", [2.689784, 1.070214, 0.361973, 0]),
        ("per_class", [0.672446, 0.267554, 0.090493, 0]),
        ("misleading", [0, 0.302961, 0.437492, 0]),
    ],
)
def test_golden_penalties_of_evidence(kind, expected: list[float]) -> None:  # type: ignore[no-untyped-def]
    found = evidence_penalty(GOLDEN, kind)
    torch.testing.assert_close(found, torch.tensor(expected).double(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("kind", "expected"), [("clarity", 0.207991), ("literal", 1.936860)])
def test_golden_inverse_correlation(kind, expected: float) -> None:  # type: ignore[no-untyped-def]
    assert inverse_correlation_loss(GOLDEN, kind).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, 1.252208), ({"gamma": 0.0}, 1.231408), ({"gamma": 0.0, "kl": "full"}, 1.308695)],
)
def test_golden_loss_of_the_head(settings: dict[str, object], expected: float) -> None:
    hyper = BDMerging.model_validate(settings)
    assert head_loss(hyper, GOLDEN).item() == pytest.approx(expected, abs=1e-6)


def test_a_constant_uncertainty_is_uncorrelated_and_has_a_finite_gradient() -> None:
    alpha = torch.tensor([[3.0, 1, 2], [1, 3, 2], [2, 2, 2]]).double().requires_grad_()
    loss = inverse_correlation_loss(alpha, "clarity")
    loss.backward()
    assert loss.item() == pytest.approx(1)
    assert alpha.grad is not None
    assert alpha.grad.isfinite().all()


@pytest.mark.parametrize(("factor", "expected"), [(2.0, 1.0), (-3.0, -1.0)])
def test_a_straight_line_is_fully_correlated(factor: float, expected: float) -> None:
    x = torch.randn(9, generator=torch.Generator().manual_seed(0)).double()
    assert correlation(x, factor * x + 4).item() == pytest.approx(expected)


def test_the_head_speaks_as_the_tasks_heads_do() -> None:
    features = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    head = EvidentialHead.of(HEADS, "", 10.0)
    expected = torch.cat([single(features) for single in HEADS.values()], dim=1)
    torch.testing.assert_close(head.logits(features), expected)
    torch.testing.assert_close(head.alpha(features), expected.double().clamp(max=10).exp() + 1)


@pytest.mark.parametrize("wanted", [0.2, 0.5, 0.9])
def test_the_median_image_has_the_calibrated_uncertainty(wanted: float) -> None:
    logits = torch.randn(31, 7, generator=torch.Generator().manual_seed(0)) * 9
    offset = calibrated_offset(logits, 7, wanted)
    found = uncertainty((logits.double() - offset).exp() + 1)
    assert found.median().item() == pytest.approx(wanted, abs=1e-6)


def test_evidence_is_capped() -> None:
    alpha = EvidentialHead.of(HEADS, "", 2.0).alpha(torch.tensor([[3.0, 0.0]]))
    assert alpha.max().item() == pytest.approx(math.exp(2) + 1)


@pytest.mark.parametrize(
    ("aliases", "labels"),
    [
        ("", [0, 1, 2, 3, 4]),
        ("alpha.1=beta.0", [0, 1, 1, 2, 3]),
        ("alpha.1=beta.0, beta.0 = beta.2", [0, 1, 1, 2, 1]),
    ],
)
def test_aliases_make_one_class_of_several(aliases: str, labels: list[int]) -> None:
    assert label_numbers(("alpha", "beta"), (2, 3), aliases).tolist() == labels


def test_evidence_for_an_alias_is_the_sum() -> None:
    features = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    apart = EvidentialHead.of(HEADS, "", 10.0).alpha(features) - 1
    joined = EvidentialHead.of(HEADS, "alpha.0=beta.2", 10.0).alpha(features) - 1
    assert joined.shape == (4, 4)
    torch.testing.assert_close(joined[:, 0], apart[:, 0] + apart[:, 4])


@pytest.mark.parametrize("aliases", ["alpha.2=beta.0", "gamma.0=alpha.0", "alpha.0", "a=b=c"])
def test_an_unknown_alias_is_named(aliases: str) -> None:
    with pytest.raises(ConfigError, match=rf"aliases: got '{aliases}'; expected TASK.NUMBER"):
        label_numbers(("alpha", "beta"), (2, 3), aliases)


def test_linear_heads_are_refused() -> None:
    heads = {**HEADS, "beta": replace(HEADS["beta"], normalised=False)}
    with pytest.raises(ConfigError, match="the heads of beta are linear; expected heads that norm"):
        EvidentialHead.of(heads, "", 10.0)
