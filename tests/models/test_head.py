from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distmerge.errors import CheckpointError
from distmerge.models import Head, load_head, save_head, save_state
from distmerge.spec import ModelFiles

HEAD = Head(
    weight=torch.tensor([[10.0, 0.0], [0.0, 10.0], [6.0, 8.0]]),
    bias=torch.tensor([0.0, 1.0, 0.0]),
    center=torch.tensor([1.0, 1.0]),
)


def test_logits_are_the_weights_times_the_centered_normalised_feature() -> None:
    logits = HEAD(torch.tensor([[4.0, 5.0], [1.0, 3.0]]))  # minus the center: (3, 4) and (0, 2)
    assert torch.allclose(logits, torch.tensor([[6.0, 9.0, 10.0], [0.0, 11.0, 8.0]]))


@given(st.floats(0.01, 100))
def test_the_distance_from_the_center_does_not_change_the_logits(scale: float) -> None:
    direction = torch.tensor([[0.6, -0.8]])
    assert torch.allclose(HEAD(HEAD.center + scale * direction), HEAD(HEAD.center + direction))


def test_a_feature_at_the_center_gives_the_bias() -> None:
    assert torch.equal(HEAD(HEAD.center[None]), HEAD.bias[None])


def test_a_head_comes_back_as_it_was_written(tmp_path: Path) -> None:
    save_head(tmp_path / "head.safetensors", HEAD)
    loaded = load_head(tmp_path / "head.safetensors", num_classes=3, feature_dim=2)
    assert torch.equal(loaded.weight, HEAD.weight)
    assert torch.equal(loaded.bias, HEAD.bias)
    assert torch.equal(loaded.center, HEAD.center)


def test_a_head_in_half_precision_is_read_as_float32(tmp_path: Path) -> None:
    save_head(tmp_path / "head.safetensors", HEAD.to(torch.bfloat16))
    loaded = load_head(tmp_path / "head.safetensors", num_classes=3, feature_dim=2)
    assert {loaded.weight.dtype, loaded.bias.dtype, loaded.center.dtype} == {torch.float32}


def test_a_missing_head_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="absent: no such checkpoint"):
        load_head(tmp_path / "absent", num_classes=3, feature_dim=2)


def test_a_head_of_other_classes_is_refused(world: ModelFiles) -> None:
    expected = (
        r"alpha.head.safetensors: head for 5 classes of 8-d features:\n"
        r"  - weight: got shape \(3, 8\), expected \(5, 8\)\n"
        r"  - bias: got shape \(3,\), expected \(5,\)$"
    )
    with pytest.raises(CheckpointError, match=expected):
        load_head(world.tasks[0].head_file, num_classes=5, feature_dim=8)


def test_missing_and_misshaped_tensors_are_listed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    save_state(path, {"weight": torch.ones(3, 4), "bias": torch.ones(3)})
    with pytest.raises(CheckpointError, match="center: missing") as caught:
        load_head(path, num_classes=3, feature_dim=2)
    assert "weight: got shape (3, 4), expected (3, 2)" in str(caught.value)
    assert "bias" not in str(caught.value)


def test_a_head_with_a_number_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    weight = torch.full((3, 2), float("nan"))
    save_state(path, {"weight": weight, "bias": torch.zeros(3), "center": torch.zeros(2)})
    with pytest.raises(CheckpointError, match="weight: holds NaN or infinity"):
        load_head(path, num_classes=3, feature_dim=2)


def test_metadata_that_are_neither_true_nor_false_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    save_state(
        path, Head(torch.ones(2, 3), torch.ones(2), torch.ones(3)).tensors, {"normalised": "True"}
    )
    with pytest.raises(CheckpointError, match=r"normalised: got 'True', expected true or false"):
        load_head(path, num_classes=2, feature_dim=3)
