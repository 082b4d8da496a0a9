import warnings

import pytest
import torch

from distmerge.errors import CheckpointError
from distmerge.models import StateDict, Tower, load_state
from distmerge.spec import ModelFiles
from distmerge.taskvectors import (
    BankArrays,
    Selection,
    TaskVectors,
    contract,
    mapped_vectors,
    merge,
    selected,
    task_vectors,
)
from tests.world import TOWER

SHAPES = {"weight": torch.Size([2, 2]), "bias": torch.Size([2])}


def state(value: float) -> StateDict:
    return {"weight": torch.full((2, 2), value), "bias": torch.full((2,), 10 * value)}


def test_vectors_are_the_differences_from_the_base_in_the_layout_order() -> None:
    bank = task_vectors(state(1.0), {"b": state(3.0), "a": state(0.5)}, SHAPES)
    assert bank.tasks == ("b", "a")
    assert bank.base.tolist() == [1.0] * 4 + [10.0] * 2
    assert bank.vectors.tolist() == [[2.0] * 4 + [20.0] * 2, [-0.5] * 4 + [-5.0] * 2]


def test_the_order_of_the_tensors_in_a_checkpoint_does_not_matter() -> None:
    shuffled = dict(reversed(state(3.0).items()))
    one = task_vectors(state(1.0), {"a": state(3.0)}, SHAPES)
    other = task_vectors(dict(reversed(state(1.0).items())), {"a": shuffled}, SHAPES)
    assert torch.equal(one.base, other.base)
    assert torch.equal(one.vectors, other.vectors)


def test_the_checkpoints_are_neither_changed_nor_shared() -> None:
    base, tuned = state(1.0), {"a": state(3.0)}
    bank = task_vectors(base, tuned, SHAPES)
    bank.base.zero_()
    bank.vectors.zero_()
    assert torch.equal(base["weight"], state(1.0)["weight"])
    assert torch.equal(tuned["a"]["weight"], state(3.0)["weight"])


def test_checkpoints_in_half_precision_give_a_float32_bank() -> None:
    half = {name: tensor.bfloat16() for name, tensor in state(1.0).items()}
    bank = task_vectors(half, {"a": half}, SHAPES)
    assert (bank.base.dtype, bank.vectors.dtype) == (torch.float32, torch.float32)


def test_the_world_has_vectors_for_every_tensor_of_every_task(world: ModelFiles) -> None:
    shapes = Tower(TOWER).shapes
    tuned = {task.name: load_state(task.checkpoint) for task in world.tasks}
    bank = task_vectors(load_state(world.base), tuned, shapes)
    assert len(bank.layout.segments) == 32
    assert all(bank.vectors[:, s.start : s.stop].any(dim=1).all() for s in bank.layout.segments)


def test_the_problems_of_all_models_are_listed_in_one_error() -> None:
    missing = {"weight": state(1.0)["weight"]}
    extra = state(1.0) | {"logit_scale": torch.ones(())}
    misshaped = state(1.0) | {"weight": torch.ones(2, 3)}
    not_finite = state(1.0) | {"bias": torch.tensor([0.0, float("nan")])}
    infinite = state(1.0) | {"bias": torch.tensor([0.0, float("inf")])}
    tuned = {"a": extra, "b": misshaped, "c": not_finite, "d": infinite, "e": state(2.0)}
    with pytest.raises(CheckpointError, match="checkpoints do not fit the tower:") as caught:
        task_vectors(missing, tuned, SHAPES)
    assert str(caught.value).splitlines()[1:] == [
        "  - base: bias: missing",
        "  - a: logit_scale: not in the tower",
        "  - b: weight: got shape (2, 3), expected (2, 2)",
        "  - c: bias: holds NaN or infinity",
        "  - d: bias: holds NaN or infinity",
    ]


@pytest.fixture
def bank(world: ModelFiles) -> TaskVectors:
    return banked(world, torch.float32)


@pytest.fixture
def halved(world: ModelFiles) -> TaskVectors:
    return banked(world, torch.bfloat16)


def banked(world: ModelFiles, dtype: torch.dtype) -> TaskVectors:
    tuned = {task.name: load_state(task.checkpoint) for task in world.tasks}
    return task_vectors(load_state(world.base), tuned, Tower(TOWER).shapes, dtype=dtype)


def test_a_bank_in_bfloat16_holds_the_rounded_differences(
    bank: TaskVectors, halved: TaskVectors
) -> None:
    assert halved.base.equal(bank.base)
    assert halved.vectors.equal(bank.vectors.bfloat16())


def test_both_kernels_take_rounded_vectors_as_the_numbers_that_they_are(
    halved: TaskVectors,
) -> None:
    plain = TaskVectors(halved.tasks, halved.layout, halved.base, halved.vectors.float())
    coefficients = torch.full((3, 32), 0.3, dtype=torch.float64)
    assert merge(halved, coefficients).equal(merge(plain, coefficients))
    gradient = torch.randn(halved.base.shape, generator=torch.Generator().manual_seed(0))
    assert contract(halved, gradient).equal(contract(plain, gradient))


@pytest.mark.parametrize("aggregate", ["sum", "mean", "max"])
def test_ties_thins_rounded_vectors_as_the_numbers_that_they_are(
    halved: TaskVectors, aggregate: str
) -> None:
    plain = TaskVectors(halved.tasks, halved.layout, halved.base, halved.vectors.float())
    selection = Selection(0.2, aggregate)  # type: ignore[arg-type]  # one of its literals
    found = selected(halved, selection).vectors
    assert found.equal(selected(plain, selection).vectors.bfloat16())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_mapped_vectors_are_the_arrays_themselves(world: ModelFiles, dtype: torch.dtype) -> None:
    whole = banked(world, dtype)
    base, vectors = (array.copy() for array in whole.arrays())
    base.flags.writeable = vectors.flags.writeable = False
    mapped = mapped_vectors(whole.tasks, Tower(TOWER).shapes, BankArrays(base, vectors))
    assert mapped.base.data_ptr() == base.ctypes.data
    assert mapped.vectors.data_ptr() == vectors.ctypes.data
    assert mapped.layout == whole.layout
    assert mapped.vectors.equal(whole.vectors)


def test_mapping_leaves_the_filters_of_warnings_as_they_are(bank: TaskVectors) -> None:
    before = list(warnings.filters)
    mapped_vectors(bank.tasks, Tower(TOWER).shapes, bank.arrays())
    assert warnings.filters == before
