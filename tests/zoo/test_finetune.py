import numpy as np
import pytest
import torch

from distmerge.models import Head, StateDict, Tower
from distmerge.zoo.finetune import (
    accuracy,
    fine_tuned,
    learning_rate_factor,
    prototype_head,
    tower_features,
)
from distmerge.zoo.pictures import Pictures
from tests.world import random_weights
from tests.zoo.toys import RECIPE

TOWER = Tower(RECIPE.tower)
BASE = random_weights(TOWER, seed=0)
LABELS = np.arange(40) % 2
PICTURES = Pictures(
    (np.random.default_rng(0).integers(0, 120, (40, 16, 16, 3)) + 100 * LABELS[:, None, None, None])
    .astype(np.uint8),
    LABELS,
)  # fmt: skip
HEAD = prototype_head(
    tower_features(TOWER, BASE, PICTURES),
    torch.from_numpy(LABELS),
    center=torch.zeros(8),
    num_classes=2,
    logit_scale=20.0,
)
QUICK = RECIPE.fine_tuning.model_copy(update={"epochs": 4})


def tuned(seed: int) -> StateDict:
    generator = torch.Generator().manual_seed(seed)
    return fine_tuned(TOWER, BASE, HEAD, PICTURES, QUICK, generator)


def mean_loss(weights: StateDict) -> float:
    logits = HEAD(tower_features(TOWER, weights, PICTURES))
    return float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(LABELS)))


def test_fine_tuning_lowers_the_loss() -> None:
    assert mean_loss(tuned(0)) < mean_loss(BASE)


def test_fine_tuning_leaves_the_base_as_it_was() -> None:
    before = {name: tensor.clone() for name, tensor in BASE.items()}
    tuned(0)
    assert all(torch.equal(BASE[name], tensor) for name, tensor in before.items())


def test_the_same_generator_gives_the_same_weights() -> None:
    one, other = tuned(3), tuned(3)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_another_generator_gives_other_weights() -> None:
    one, other = tuned(3), tuned(4)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_prototypes_are_directions_seen_from_the_center() -> None:
    features = torch.tensor([[2.0, 1.0], [5.0, 1.0], [1.0, 4.0]])
    head = prototype_head(
        features,
        torch.tensor([0, 0, 1]),
        center=torch.tensor([1.0, 1.0]),
        num_classes=2,
        logit_scale=20.0,
    )
    torch.testing.assert_close(head.weight, 20 * torch.eye(2))


@pytest.mark.parametrize(("step", "expected"), [(0, 0.1), (10, 0.9755283), (50, 0.5), (100, 0.0)])
def test_the_learning_rate_rises_and_falls_on_a_cosine(step: int, expected: float) -> None:
    assert learning_rate_factor(step, 100, 10) == pytest.approx(expected, abs=1e-6)


def test_accuracy_is_the_share_of_right_answers() -> None:
    always_first = Head(torch.zeros(2, 8), torch.tensor([1.0, 0.0]), torch.zeros(8))
    assert accuracy(TOWER, BASE, always_first, PICTURES) == 0.5
