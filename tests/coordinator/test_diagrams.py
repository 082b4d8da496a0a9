import pytest
import torch

from distmerge.coordinator.diagrams import BINS, bin_sums, reliability, routing_tensors
from distmerge.evaluation import calibration_error

RIGHT = torch.tensor([True, False, True, True])


def test_a_reliability_diagram_has_the_bins_of_the_calibration_error() -> None:
    confidence = torch.tensor([1 / BINS, 0.5, 0.45, 1.0], dtype=torch.float64)
    found = reliability(bin_sums(confidence, RIGHT))
    assert found[:, 0].nonzero().flatten().tolist() == [0, 6, 7, 14]
    gaps = ((found[:, 1] - found[:, 2]).abs() * found[:, 0] / 4).nansum()
    assert float(gaps) == pytest.approx(calibration_error(confidence, RIGHT))


def test_sums_of_parts_are_those_of_the_whole() -> None:
    confidence = torch.tensor([0.11, 0.12, 0.9, 0.91])
    parts = bin_sums(confidence[:3], RIGHT[:3]) + bin_sums(confidence[3:], RIGHT[3:])
    torch.testing.assert_close(parts, bin_sums(confidence, RIGHT))
    assert reliability(parts)[1].tolist() == pytest.approx([2, 0.115, 0.5])


def test_an_empty_bin_has_no_mean() -> None:
    assert reliability(bin_sums(torch.ones(4), RIGHT))[0].isnan().tolist() == [False, True, True]


def test_a_confidence_that_is_no_number_stops_nobody() -> None:
    assert bin_sums(torch.full((4,), torch.nan), RIGHT)[:, 0].sum() == 4


def test_images_are_sent_to_the_task_with_the_largest_weight() -> None:
    found = routing_tensors("a", torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.0, 1.0]]), 2)
    assert found["sent.a"].tolist() == pytest.approx([2 / 3, 1 / 3])
    assert found["weights.a"][0].tolist() == pytest.approx([0.5, 0.5])
    assert found["weights.a"][1].tolist() == pytest.approx([0.374166, 0.374166], abs=1e-5)
    assert found["routing.a"].shape == (2, 2)


def test_one_image_of_one_task_is_sent_too() -> None:
    found = routing_tensors("a", torch.ones(1, 1), 64)
    assert found["weights.a"].tolist() == [[1], [0]]
