"""BD-Merging's discrepancy score and contrast: golden numbers, an oracle and empty cases."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from distmerge.methods.bd_merging.contrast import contrastive_loss
from distmerge.methods.bd_merging.discrepancy import (
    Neighbours,
    Split,
    conflict,
    div_factor,
    neighbours,
    sharp_factor,
    sharpness,
    split_at,
    threshold,
)
from tests.oracles import bd_merging as oracle

KINDS = ("softplus", "sigmoid", "one", "literal")
CONFLICT = torch.tensor([[9, 1, 1, 1], [1, 9, 1, 1]], dtype=torch.float64)
THREE = torch.tensor([[9, 1, 1, 1], [8, 2, 1, 1], [1, 9, 1, 1]], dtype=torch.float64)


def mutual(count: int) -> Neighbours:
    return Neighbours(~torch.eye(count, dtype=torch.bool), torch.arange(count))


def scores(alpha: Tensor, found: Neighbours, kind) -> Tensor:  # type: ignore[no-untyped-def]
    sharp = sharp_factor(sharpness(alpha, kind), found, include_self=True)
    return (sharp * div_factor(alpha, found))[:, None] * conflict(alpha[found.anchors])


def random_images(count: int = 24) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(count, 6, generator=generator, dtype=torch.float64)
    alpha = 1 + torch.randn(count, 5, generator=generator, dtype=torch.float64).exp() ** 2
    return features, alpha


def found_in(features: Tensor, *, minimum: int = 4, radius: float = 0.0) -> Neighbours:
    unit, anchors = normalize(features, dim=1), torch.arange(len(features))
    return neighbours(unit, anchors, radius=radius, quantile=0.25, minimum=minimum)


@pytest.mark.parametrize(
    ("kind", "sharp", "score"),
    [
        ("literal", -1.098612, -0.868039),
        ("softplus", 0.207519, 0.163964),
        ("sigmoid", 0.25, 0.197531),
        ("one", 1, 0.790123),
    ],
)
def test_golden_discrepancy_of_a_conflict(kind, sharp: float, score: float) -> None:  # type: ignore[no-untyped-def]
    assert sharpness(CONFLICT, kind).tolist() == pytest.approx([sharp, sharp], abs=1e-6)
    assert div_factor(CONFLICT, mutual(2)).tolist() == pytest.approx([4 / 3, 4 / 3])
    assert conflict(CONFLICT)[0, 1].item() == pytest.approx(0.592593, abs=1e-6)
    assert scores(CONFLICT, mutual(2), kind)[0, 1].item() == pytest.approx(score, abs=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_images_that_agree_have_no_discrepancy(kind: str) -> None:
    assert scores(CONFLICT[[0, 0]], mutual(2), kind)[0, 1].item() == pytest.approx(0, abs=1e-12)


def test_golden_discrepancies_of_three_images() -> None:
    expected = [[0, 0.013102, 0.104818], [0.011646, 0, 0.081525], [0.174696, 0.152859, 0]]
    found = scores(THREE, mutual(3), "softplus")
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-6)
    eps = threshold(found, mutual(3).near, 0.5)
    assert eps == pytest.approx(0.093171, abs=1e-6)
    split = split_at(found, mutual(3).near, eps or 0.0)
    assert split.positive.int().tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]
    assert split.negative.int().tolist() == [[0, 0, 1], [0, 0, 0], [1, 1, 0]]


def test_golden_literal_discrepancies_turn_the_order_round() -> None:
    expected = [[0, -0.053525, -0.428203], [-0.047578, 0, -0.333047], [-0.713672, -0.624463, 0]]
    found = scores(THREE, mutual(3), "literal")
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("minimum", [1, 4])
def test_discrepancies_are_those_of_the_oracle(kind: str, minimum: int) -> None:
    features, alpha = random_images()
    near = oracle.near(features.numpy(), quantile=0.25, minimum=minimum)
    expected = oracle.discrepancies(alpha.numpy(), near, kind)
    found = found_in(features, minimum=minimum)
    np.testing.assert_array_equal(found.near.numpy(), near)
    np.testing.assert_allclose(scores(alpha, found, kind).numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["softplus", "sigmoid", "one"])
def test_discrepancies_are_not_negative_and_zero_with_oneself(kind: str) -> None:
    features, alpha = random_images()
    found = scores(alpha, found_in(features), kind)
    assert (found >= 0).all()
    torch.testing.assert_close(found.diagonal(), torch.zeros(len(alpha)).double())


def test_conflict_is_symmetric() -> None:
    _, alpha = random_images()
    torch.testing.assert_close(conflict(alpha), conflict(alpha).T, rtol=0, atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_the_images_permutes_the_discrepancies(kind: str) -> None:
    features, alpha = random_images()
    order = torch.randperm(len(alpha), generator=torch.Generator().manual_seed(1))
    plain = scores(alpha, found_in(features), kind)
    shuffled = scores(alpha[order], found_in(features[order]), kind)
    torch.testing.assert_close(shuffled, plain[order][:, order], rtol=0, atol=1e-12)


def test_both_sides_of_the_threshold_make_up_the_neighbours() -> None:
    features, alpha = random_images()
    found = found_in(features)
    values = scores(alpha, found, "softplus")
    split = split_at(values, found.near, threshold(values, found.near, 0.5) or 0.0)
    assert torch.equal(split.positive | split.negative, found.near)
    assert not (split.positive & split.negative).any()


def test_nobody_is_an_own_neighbour_and_everybody_has_four() -> None:
    features, _ = random_images()
    near = found_in(features, radius=1e-9).near
    assert not near.diagonal().any()
    assert near.sum(dim=1).tolist() == [4] * len(near)


def test_a_radius_is_a_cosine_distance() -> None:
    features = torch.tensor([[1.0, 0], [1, 1], [0, 1], [-1, 0]]).double()
    near = found_in(features, radius=0.3, minimum=1).near
    assert near.int().tolist() == [[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 0]]


def test_anchors_in_a_larger_pool_have_the_neighbours_that_they_have_there() -> None:
    features, _ = random_images()
    anchors = torch.tensor([3, 17])
    unit = normalize(features, dim=1)
    some = neighbours(unit, anchors, radius=0.5, quantile=0.25, minimum=4)
    whole = neighbours(unit, torch.arange(24), radius=0.5, quantile=0.25, minimum=4)
    assert torch.equal(some.near, whole.near[anchors])


def test_a_single_image_has_no_neighbours_and_no_score() -> None:
    alpha = THREE[:1]
    found = found_in(torch.ones(1, 3).double())
    values = scores(alpha, found, "softplus")
    assert not found.near.any()
    assert values.isnan().all()
    assert threshold(values, found.near, 0.5) is None
    assert not split_at(values, found.near, 0.0).negative.any()


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_without_neighbours_is_skipped(kind: str) -> None:
    near = torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.bool)
    values = scores(THREE, Neighbours(near, torch.arange(3)), kind)
    split = split_at(values, near, threshold(values, near, 0.5) or 0.0)
    assert values[:2].isfinite().all()
    assert not (split.positive | split.negative)[2].any()


def test_a_neighbourhood_may_leave_the_image_itself_out() -> None:
    found = mutual(3)
    values = torch.tensor([1.0, 2, 6])
    assert sharp_factor(values, found, include_self=True).tolist() == [3, 3, 3]
    assert sharp_factor(values, found, include_self=False).tolist() == [4, 3.5, 1.5]


def test_equal_discrepancies_are_not_split() -> None:
    assert threshold(torch.ones(3, 3), mutual(3).near, 0.5) is None


def test_a_certain_image_has_a_finite_literal_sharpness() -> None:
    certain = torch.tensor([[1e30, 1, 1]]).double()
    assert sharpness(certain, "literal").isfinite().all()


def test_golden_contrast() -> None:
    features = torch.tensor([[1, 0], [0.8, 0.6], [0, 1]], dtype=torch.float64)
    positive = torch.tensor([[0, 1, 0], [0, 0, 0], [0, 0, 0]], dtype=torch.bool)
    negative = torch.tensor([[0, 0, 1], [0, 0, 0], [0, 0, 0]], dtype=torch.bool)
    loss = contrastive_loss(features, Split(positive, negative), 0.1)
    assert loss.item() == pytest.approx(3.3541e-4, abs=1e-8)


def some_split() -> Split:
    generator = torch.Generator().manual_seed(4)
    draw = torch.rand(24, 24, generator=generator)
    draw.fill_diagonal_(0.5)
    draw[5] = 0.0  # an anchor with nothing to push
    draw[5, 5] = 0.5
    return Split(draw < 0.2, draw > 0.7)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_the_contrast_is_that_of_the_oracle(temperature: float) -> None:
    features, _ = random_images()
    split = some_split()
    expected = oracle.contrast(
        features.numpy(), split.positive.numpy(), split.negative.numpy(), temperature
    )
    found = contrastive_loss(features, split, temperature)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_no_contrast_is_zero_with_a_zero_gradient() -> None:
    features = random_images()[0].requires_grad_()
    nothing = torch.zeros(24, 24, dtype=torch.bool)
    loss = contrastive_loss(features, Split(nothing, nothing), 0.1)
    loss.backward()
    assert loss.item() == 0
    assert features.grad is not None
    assert not features.grad.any()


@pytest.mark.parametrize("workers", [2, 3])
def test_gradients_of_row_splits_sum_to_the_whole_gradient(workers: int) -> None:
    whole = random_images()[0].requires_grad_()
    contrastive_loss(whole, some_split(), 0.1).backward()
    total = torch.zeros_like(whole)
    for rows in torch.arange(24).chunk(workers):
        own = whole.detach()[rows].requires_grad_()
        joined = whole.detach().index_copy(0, rows, own)
        contrastive_loss(joined, some_split(), 0.1).backward()
        assert own.grad is not None
        total[rows] = own.grad
    assert whole.grad is not None
    torch.testing.assert_close(total, whole.grad, rtol=0, atol=1e-12)


def test_huge_similarities_stay_finite() -> None:
    features = random_images()[0]
    assert math.isfinite(contrastive_loss(features, some_split(), 1e-4).item())
