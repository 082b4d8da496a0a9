"""Routing metrics on numbers small enough to check by hand, and against slow oracles."""

import numpy as np
import pytest
import torch

from distmerge.errors import DataError, DivergenceError
from distmerge.evaluation import (
    nearest_centroid,
    routing_accuracy,
    routing_weight,
    uncertainty_auroc,
    uncertainty_ece,
    unified_accuracy,
    withheld_accuracy,
)
from tests.oracles import routing as oracle

SIZES = (3, 4, 2)
RIGHT = torch.tensor([True, True, False, False])


def random_of(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_true_task_is_named_where_its_weight_is_the_largest() -> None:
    routing = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.7, 0.1], [0.6, 0.4, 0.0], [0.0, 1.0, 0.0]])
    assert routing_accuracy(routing.argmax(dim=1), 1) == 0.5
    assert routing_weight(routing, 1) == pytest.approx(0.6)


def test_a_withheld_task_must_be_named_and_its_class_found() -> None:
    named = torch.tensor([0, 1, 0, 0])
    assert withheld_accuracy(named, RIGHT, 0) == 0.25


def test_a_class_of_another_task_is_wrong_in_the_unified_space() -> None:
    logits = [torch.tensor([[9.0, 1.0], [1.0, 0.0]]), torch.tensor([[0.0, 5.0], [0.0, 5.0]])]
    assert unified_accuracy(logits, torch.tensor([0, 0]), 0) == 0.5
    assert unified_accuracy(logits, torch.tensor([1, 1]), 1) == 0.5


@pytest.mark.parametrize("expert", [0, 1, 2])
def test_accuracies_with_the_task_withheld_equal_the_oracle(expert: int) -> None:
    logits = [random_of(50, size, seed=size) for size in SIZES]
    labels = torch.arange(50) % SIZES[expert]
    routing = random_of(50, 3).softmax(dim=1)
    right = logits[expert].argmax(dim=1) == labels
    plain = [part.numpy().astype(np.float64) for part in logits]
    found = withheld_accuracy(routing.argmax(dim=1), right, expert)
    assert found == oracle.accuracy_withheld(routing.numpy(), plain, labels.numpy(), expert)
    unified = unified_accuracy(logits, labels, expert)
    assert unified == oracle.accuracy_unified(plain, labels.numpy(), expert)


@pytest.mark.parametrize("levels", [4, 1000], ids=["with ties", "almost without ties"])
def test_the_calibration_of_uncertainty_equals_the_oracle(levels: int) -> None:
    uncertainty = (random_of(60).sigmoid() * levels).ceil().double() / levels
    right = random_of(60, seed=1) > uncertainty
    arrays = uncertainty.numpy(), right.numpy()
    assert uncertainty_ece(uncertainty, right) == pytest.approx(oracle.uncertainty_ece(*arrays))
    found = uncertainty_auroc(uncertainty, right)
    assert found == pytest.approx(oracle.uncertainty_auroc(*arrays), abs=1e-12)


@pytest.mark.parametrize(
    ("uncertainty", "expected"),
    [
        ([0.1, 0.2, 0.3, 0.4], 1.0),
        ([0.3, 0.4, 0.1, 0.2], 0.0),
        ([0.5, 0.5, 0.5, 0.5], 0.5),
        ([0.1, 0.3, 0.3, 0.2], 0.625),
    ],
    ids=["told apart", "the wrong way round", "ties", "mixed"],
)
def test_wrong_answers_should_be_less_certain(uncertainty: list[float], expected: float) -> None:
    assert uncertainty_auroc(torch.tensor(uncertainty), RIGHT) == expected


@pytest.mark.parametrize("value", [True, False], ids=["all right", "all wrong"])
def test_nothing_to_tell_apart_counts_as_a_guess(*, value: bool) -> None:
    right = torch.full((4,), fill_value=value)
    assert uncertainty_auroc(torch.tensor([0.1, 0.2, 0.3, 0.4]), right) == 0.5


def test_certain_and_right_is_calibrated() -> None:
    assert uncertainty_ece(torch.tensor([0.0, 0.0, 1.0, 1.0]), RIGHT) == 0
    assert uncertainty_ece(torch.tensor([1.0, 1.0, 0.0, 0.0]), RIGHT) == 1


@pytest.mark.parametrize("measure", [uncertainty_ece, uncertainty_auroc])
def test_an_uncertainty_that_is_not_a_number_is_refused(measure) -> None:  # type: ignore[no-untyped-def]  # both
    with pytest.raises(DivergenceError, match=r"uncertainties of 1 of 4 images are not numbers"):
        measure(torch.tensor([0.1, float("nan"), 0.3, 0.4]), RIGHT)


def test_no_images_in_the_unified_space_are_refused() -> None:
    with pytest.raises(DataError, match="no images to measure on"):
        unified_accuracy([torch.zeros(0, 2)], torch.zeros(0, dtype=torch.int64), 0)


def test_the_nearest_centroid_equals_the_oracle() -> None:
    tasks = [random_of(20, 5, seed=task) + 0.5 * task for task in range(3)]
    features = 100 * random_of(40, 5, seed=9)
    arrays = [task.numpy().astype(np.float64) for task in tasks]
    found = nearest_centroid(features, tasks)
    assert found.tolist() == oracle.nearest_centroid(features.numpy().astype(np.float64), arrays)
    assert set(found.tolist()) == {0, 1, 2}


def test_the_length_of_a_feature_does_not_matter() -> None:
    tasks = [torch.tensor([[1.0, 0.0], [50.0, 10.0]]), torch.tensor([[0.0, 1.0], [1.0, 9.0]])]
    features = torch.tensor([[9.0, 1.0], [0.001, 0.002]])
    assert nearest_centroid(features, tasks).tolist() == [0, 1]
