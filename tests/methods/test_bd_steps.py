"""BD-Merging's whole losses against a slow float64 oracle, golden factors, and limits."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from distmerge.errors import ConfigError
from distmerge.methods.bd_merging import BDMerging
from distmerge.methods.bd_merging.discrepancy import Neighbours, conflict, div_factor, neighbours
from distmerge.methods.bd_merging.evidence import (
    EvidentialHead,
    calibrated_offset,
    contradiction,
    correlation,
    inverse_correlation_loss,
    label_numbers,
)
from distmerge.methods.bd_merging.objective import Objective, head_loss
from distmerge.methods.bd_merging.pool import Drawn, Pool
from distmerge.methods.bd_merging.router import initial_router, standardised
from distmerge.models import Head
from distmerge.tasks import batch_indices
from tests.oracles import bd_steps as oracle
from tests.world import TOWER

NAMES, CLASSES, PER_TASK, SIZE, WIDTH = ("alpha", "beta", "gamma"), (3, 4, 2), 9, 4, 6
RULES = (
    oracle.Rules(),
    oracle.Rules(sharp="sigmoid"),
    oracle.Rules(sharp="one"),
    oracle.Rules(sharp="literal"),
    oracle.Rules(sharp_self=False),
    oracle.Rules(div=False),
    oracle.Rules(symmetric=True),
    oracle.Rules(split="radius"),
    oracle.Rules(radius=0.8),
    oracle.Rules(radius_quantile=0.6, min_neighbours=1),
    oracle.Rules(min_neighbours=100),
    oracle.Rules(eps_quantile=0.2, eps_decay=0.0),
)


def random(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


HEADS = {
    name: Head(2 * random(size, WIDTH, seed=i), random(size, seed=10 + i), random(WIDTH, seed=20))
    for i, (name, size) in enumerate(zip(NAMES, CLASSES, strict=True))
}
PLAIN = [(h.weight.numpy(), h.bias.numpy(), h.center.numpy()) for h in HEADS.values()]
FEATURES = random(len(NAMES) * PER_TASK, WIDTH, seed=30)
ALPHA = 1 + random(20, 7, seed=40).exp() ** 2
THREE = torch.tensor([[9, 1, 1, 1], [8, 2, 1, 1], [1, 9, 1, 1]], dtype=torch.float64)


def calibrated() -> EvidentialHead:
    plain = EvidentialHead.of(HEADS, "", 10.0)
    logits = plain.logits(FEATURES)
    return replace(plain, offset=calibrated_offset(logits, plain.num_classes, 0.5))


def places(step: int) -> list[int]:
    """Give where a step's images stand in the pool, task after task."""
    return [
        PER_TASK * number + int(index)
        for number, name in enumerate(NAMES)
        for index in batch_indices(0, name, step, size=SIZE, available=PER_TASK)
    ]


def losses(hyper: BDMerging) -> list[float]:
    pool = Pool({}, TOWER.preprocess, FEATURES, FEATURES)
    objective, found = Objective(hyper, pool, calibrated(), HEADS), []
    for step in range(3):
        drawn = Drawn(torch.zeros(3 * SIZE, 3, 1, 1), torch.tensor(places(step)))
        merged = random(3 * SIZE, WIDTH, seed=50 + step)
        found.append(objective(merged, drawn).item())
    return found


@pytest.mark.parametrize("pool", ["batch", "bank"])
@pytest.mark.parametrize("rules", RULES, ids=str)
def test_the_losses_of_steps_are_those_of_the_oracle(rules: oracle.Rules, pool: str) -> None:
    hyper = BDMerging.model_validate({**vars(rules), "pool": pool, "batch_size": SIZE, "eta": 0.7})
    steps, expected = oracle.Steps(rules, PLAIN, 0.7), []
    offset = oracle.calibrated_offset(FEATURES.numpy(), PLAIN, 0.5)
    for step in range(3):
        images = list(range(len(FEATURES))) if pool == "bank" else places(step)
        around = FEATURES.numpy()[images]
        alpha = oracle.evidence(around, PLAIN, offset, 10.0)
        merged = random(3 * SIZE, WIDTH, seed=50 + step).numpy()
        anchors = [images.index(place) for place in places(step)]
        expected.append(steps.loss(merged, around, alpha, anchors))
    assert losses(hyper) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("cap", [0.1, 10.0])
def test_evidence_is_that_of_the_oracle(cap: float) -> None:
    found = replace(calibrated(), cap=cap)
    offset = oracle.calibrated_offset(FEATURES.numpy(), PLAIN, 0.5)
    assert found.offset == pytest.approx(offset, abs=1e-12)
    expected = oracle.evidence(FEATURES.numpy(), PLAIN, offset, cap)
    np.testing.assert_allclose(found.alpha(FEATURES).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("kl", ["per_class", "full", "misleading"])
@pytest.mark.parametrize("inverse", ["clarity", "literal"])
def test_the_heads_loss_is_that_of_the_oracle(kl: str, inverse: str) -> None:
    weights = {"kl": kl, "kl_weight": 0.3, "inverse": inverse, "gamma": 0.6}
    expected = oracle.head_loss(ALPHA.numpy(), kl=kl, kl_weight=0.3, inverse=inverse, gamma=0.6)
    found = head_loss(BDMerging.model_validate(weights), ALPHA)
    assert found.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("standard", [True, False])
def test_routing_is_that_of_the_oracle(standard: bool) -> None:
    tokens = 3 + 2 * random(5, WIDTH, seed=60).float()
    router = initial_router(NAMES, 4, WIDTH, 8, seed=0)
    router = standardised(router, tokens) if standard else router
    router = replace(
        router, out=100 * router.out
    )  # at the start all tasks have almost equal shares
    scaling = (router.center.double().numpy(), router.scale.double().numpy())
    hidden = (router.hidden.double().numpy(), router.hidden_bias.double().numpy())
    out = router.out.double().numpy()
    expected = [oracle.routing(row, scaling, hidden, out) for row in tokens.double().numpy()]
    np.testing.assert_allclose(router(tokens).numpy(), expected, rtol=0, atol=1e-5)


def test_golden_factors_of_three_images() -> None:
    """algorithms.md 3.9: nu, Div and Conf of three mutual neighbours."""
    found = Neighbours(~torch.eye(3, dtype=torch.bool), torch.arange(3))
    conflicts = conflict(THREE)
    assert contradiction(THREE).tolist() == pytest.approx([0.049383, 0.125, 0.049383], abs=1e-6)
    assert div_factor(THREE, found).tolist() == pytest.approx([0.75, 0.666667, 1.25], abs=1e-6)
    pairs = [conflicts[i, j].item() for i, j in ((0, 1), (0, 2), (1, 2))]
    assert pairs == pytest.approx([0.074074, 0.592593, 0.518519], abs=1e-6)


def test_all_other_images_are_neighbours_where_more_are_asked_for_than_there_are() -> None:
    unit = torch.nn.functional.normalize(FEATURES, dim=1)
    found = neighbours(unit, torch.arange(27), radius=1e-9, quantile=0.25, minimum=1000)
    assert torch.equal(found.near, ~torch.eye(27, dtype=torch.bool))


def test_equal_images_are_all_neighbours() -> None:
    same = torch.nn.functional.normalize(torch.ones(5, 3), dim=1)
    found = neighbours(same, torch.arange(5), radius=0.0, quantile=0.25, minimum=1)
    assert torch.equal(found.near, ~torch.eye(5, dtype=torch.bool))


@given(st.integers(0, 10_000), st.sampled_from(["clarity", "literal"]))
def test_the_inverse_correlation_loss_is_between_zero_and_two(seed: int, kind) -> None:  # type: ignore[no-untyped-def]
    alpha = 1 + random(6, 5, seed=seed).exp() ** 3
    assert -1e-12 <= inverse_correlation_loss(alpha, kind).item() <= 2 + 1e-12


def test_full_anticorrelation_costs_nothing_and_gains_nothing() -> None:
    x = random(9, seed=1)
    assert 1 + correlation(x, 5 - 2 * x).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("order", list(permutations(["a.0=b.1", "b.1=c.0", "c.2=a.1"])))
def test_aliases_join_classes_whatever_their_order(order: tuple[str, ...]) -> None:
    labels = label_numbers(("a", "b", "c"), (2, 2, 3), ", ".join(order)).tolist()
    a, b, c = labels[:2], labels[2:4], labels[4:]
    assert (a[0], a[1]) == (b[1], c[2])
    assert a[0] == c[0]
    assert sorted(set(labels)) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "aliases",
    ["a.1=b.0, a.1=b.0", "a.1=b.0, b.0=a.1", "a.1=b.0, a.0=a.0", "a.1=b.0,,", " a.1 = b.0 "],
)
def test_an_alias_that_says_nothing_new_changes_nothing(aliases: str) -> None:
    found = label_numbers(("a", "b"), (2, 2), aliases).tolist()
    assert found == label_numbers(("a", "b"), (2, 2), "a.1=b.0").tolist()


def test_aliases_that_leave_a_single_class_are_refused() -> None:
    with pytest.raises(ConfigError, match="all classes of all tasks are made one; expected two"):
        label_numbers(("a", "b"), (2, 2), "a.0=a.1, b.0=b.1, a.0=b.0")


def test_two_classes_are_enough() -> None:
    assert label_numbers(("a", "b"), (2, 2), "a.0=b.0, a.1=b.1").tolist() == [0, 1, 0, 1]
