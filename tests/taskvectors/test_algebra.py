from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import log_softmax

from distmerge.models import StateDict, Tower, load_state
from distmerge.spec import ModelFiles
from distmerge.taskvectors import Layout, TaskVectors, contract, merge, merge_groups, task_vectors
from distmerge.taskvectors.algebra import (
    _CHUNK,
    _contract_segments,
    _merge_chunks,
    _merge_segments,
)
from tests.oracles import merging
from tests.world import TOWER

SHAPES = {"stem": torch.Size([3, 2]), "blocks.0.w": torch.Size([5]), "head": torch.Size([])}
Kernel = Callable[[TaskVectors, Tensor, Tensor], None]
SEEDS = st.integers(0, 2**32)


def bank_of(seed: int, num_tasks: int, *, shapes: Mapping[str, torch.Size] = SHAPES) -> TaskVectors:
    """Give a random bank in float64, in which sums are exact enough to compare."""
    layout = Layout.of(shapes)
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(
        num_tasks + 1, layout.num_parameters, generator=generator, dtype=torch.float64
    )
    return TaskVectors(tuple(map(str, range(num_tasks))), layout, rows[0], rows[1:])


def random_like(bank: TaskVectors, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed + 1)
    shape = (len(bank.tasks), len(bank.layout.segments))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def arrays(state: Mapping[str, Tensor]) -> dict[str, NDArray[np.float64]]:
    return {name: tensor.detach().double().numpy() for name, tensor in state.items()}


def named(bank: TaskVectors, values: Tensor) -> list[dict[str, float]]:
    names = [segment.name for segment in bank.layout.segments]
    return [dict(zip(names, row, strict=True)) for row in values.tolist()]


def entropy_sum(logits: Tensor) -> Tensor:
    log_probabilities = log_softmax(logits, dim=-1)
    return -(log_probabilities.exp() * log_probabilities).sum(-1).mean()


@pytest.fixture(scope="module")
def states(world: ModelFiles) -> tuple[StateDict, dict[str, StateDict]]:
    return load_state(world.base), {t.name: load_state(t.checkpoint) for t in world.tasks}


@pytest.fixture(scope="module")
def bank(states: tuple[StateDict, dict[str, StateDict]]) -> TaskVectors:
    return task_vectors(*states, Tower(TOWER).shapes)


def test_zero_coefficients_give_the_base_bit_for_bit(bank: TaskVectors) -> None:
    zeros = torch.zeros(len(bank.tasks), len(bank.layout.segments))
    assert torch.equal(merge(bank, zeros), bank.base)


def test_equal_shares_give_the_average_of_the_models(
    bank: TaskVectors, states: tuple[StateDict, dict[str, StateDict]]
) -> None:
    share = torch.full((3, len(bank.layout.segments)), 1 / 3)
    average = torch.stack([bank.layout.flatten(tuned) for tuned in states[1].values()]).mean(0)
    torch.testing.assert_close(merge(bank, share), average, rtol=0, atol=1e-6)


@pytest.mark.parametrize("chosen", [0, 1, 2])
def test_one_whole_vector_gives_its_own_model(
    bank: TaskVectors, states: tuple[StateDict, dict[str, StateDict]], chosen: int
) -> None:
    coefficients = torch.zeros(3, len(bank.layout.segments))
    coefficients[chosen] = 1
    tuned = bank.layout.flatten(states[1][bank.tasks[chosen]])
    torch.testing.assert_close(merge(bank, coefficients), tuned, rtol=0, atol=1e-6)


def test_a_merge_of_checkpoints_equals_the_slow_merge(
    bank: TaskVectors, states: tuple[StateDict, dict[str, StateDict]]
) -> None:
    coefficients = random_like(bank, 0).float()
    base, tuned = states
    expected = merging.merged(
        arrays(base), [arrays(t) for t in tuned.values()], named(bank, coefficients)
    )
    ours = arrays(bank.layout.unflatten(merge(bank, coefficients)))
    for name in expected:
        np.testing.assert_allclose(ours[name], expected[name], rtol=0, atol=2e-6)


def test_a_contraction_equals_the_slow_contraction(
    bank: TaskVectors, states: tuple[StateDict, dict[str, StateDict]]
) -> None:
    base, tuned = states
    gradient = torch.randn(bank.layout.num_parameters, generator=torch.Generator().manual_seed(0))
    expected = merging.contracted(
        arrays(base),
        [arrays(t) for t in tuned.values()],
        arrays(bank.layout.unflatten(gradient)),
    )
    ours = contract(bank, gradient)
    assert ours.dtype == torch.float64
    names = [segment.name for segment in bank.layout.segments]
    slow = torch.tensor([[row[name] for name in names] for row in expected], dtype=torch.float64)
    torch.testing.assert_close(ours, slow, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [_CHUNK - 1, _CHUNK, 2 * _CHUNK + 3])
def test_a_tensor_longer_than_a_chunk_is_merged_and_contracted_whole(size: int) -> None:
    bank = bank_of(0, 2, shapes={"small": torch.Size([3]), "large": torch.Size([size])})
    coefficients = random_like(bank, 0)
    small, large = coefficients[:, 0], coefficients[:, 1]
    expected = torch.cat([small @ bank.vectors[:, :3], large @ bank.vectors[:, 3:]])
    torch.testing.assert_close(merge(bank, coefficients), bank.base + expected)
    products = bank.vectors * bank.base
    sums = torch.stack([products[:, :3].sum(1), products[:, 3:].sum(1)], dim=1)
    torch.testing.assert_close(contract(bank, bank.base), sums)


@given(SEEDS)
def test_an_accelerators_kernels_give_the_same_numbers(seed: int) -> None:
    bank = bank_of(seed, 3)
    coefficients, merged = random_like(bank, seed), torch.empty_like(bank.base)
    _merge_segments(bank, coefficients, merged)
    torch.testing.assert_close(merged, merge(bank, coefficients), rtol=1e-12, atol=1e-12)
    products = _contract_segments(bank, bank.base)
    torch.testing.assert_close(products, contract(bank, bank.base), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel", [_merge_chunks, _merge_segments])
def test_a_result_in_a_shorter_type_is_rounded_once(kernel: Kernel) -> None:
    bank = bank_of(0, 3)
    coefficients = random_like(bank, 0)
    rounded = torch.empty_like(bank.base, dtype=torch.bfloat16)
    kernel(bank, coefficients, rounded)
    assert torch.equal(rounded, merge(bank, coefficients).bfloat16())


@given(SEEDS, st.integers(1, 4))
def test_merging_is_linear_in_the_coefficients(seed: int, num_tasks: int) -> None:
    bank = bank_of(seed, num_tasks)
    one, other = random_like(bank, seed), random_like(bank, seed + 7)
    both = merge(bank, one + other) - bank.base
    apart = (merge(bank, one) - bank.base) + (merge(bank, other) - bank.base)
    torch.testing.assert_close(both, apart, rtol=0, atol=1e-12)


@given(SEEDS, st.permutations(range(4)))
def test_the_order_of_the_tasks_changes_nothing(seed: int, order: list[int]) -> None:
    bank = bank_of(seed, 4)
    coefficients = random_like(bank, seed)
    tasks = tuple(bank.tasks[i] for i in order)
    shuffled = TaskVectors(tasks, bank.layout, bank.base, bank.vectors[order])
    torch.testing.assert_close(
        merge(shuffled, coefficients[order]), merge(bank, coefficients), rtol=0, atol=1e-12
    )
    assert torch.equal(contract(shuffled, bank.base), contract(bank, bank.base)[order])


@given(SEEDS)
def test_the_order_of_the_tensors_changes_nothing(seed: int) -> None:
    bank = bank_of(seed, 2)
    base = bank.layout.unflatten(bank.base)
    rows = [bank.layout.unflatten(vector) for vector in bank.vectors]
    backward = Layout.of(dict(reversed(SHAPES.items())))
    flats = [torch.cat([s[g.name].reshape(-1) for g in backward.segments]) for s in (base, *rows)]
    other = TaskVectors(bank.tasks, backward, flats[0], torch.stack(flats[1:]))
    coefficients = random_like(bank, seed)
    ours = backward.unflatten(merge(other, coefficients.flip(1)))
    expected = bank.layout.unflatten(merge(bank, coefficients))
    assert all(torch.equal(ours[name], expected[name]) for name in SHAPES)


@given(SEEDS)
def test_tensor_wise_merging_with_equal_coefficients_is_task_wise_merging(seed: int) -> None:
    bank = bank_of(seed, 3)
    per_task = random_like(bank, seed)[:, :1]
    spread = merge_groups(bank.layout, "global").spread(per_task)
    expected = bank.base + per_task[:, 0] @ bank.vectors
    torch.testing.assert_close(merge(bank, spread), expected, rtol=0, atol=1e-12)


@given(SEEDS)
def test_the_task_wise_gradient_is_the_sum_over_the_tensors(seed: int) -> None:
    bank = bank_of(seed, 3)
    gathered = merge_groups(bank.layout, "global").gather(contract(bank, bank.base))
    torch.testing.assert_close(gathered[:, 0], bank.vectors @ bank.base, rtol=0, atol=1e-12)


@given(SEEDS)
def test_a_task_equal_to_the_base_gets_no_gradient(seed: int) -> None:
    bank = bank_of(seed, 2)
    bank.vectors[1] = 0
    assert torch.equal(contract(bank, bank.base)[1], torch.zeros(3, dtype=torch.float64))


@given(SEEDS)
def test_the_bank_is_not_changed(seed: int) -> None:
    bank, untouched = bank_of(seed, 2), bank_of(seed, 2)
    merge(bank, random_like(bank, seed)).zero_()
    contract(bank, bank.base)
    assert torch.equal(bank.base, untouched.base)
    assert torch.equal(bank.vectors, untouched.vectors)


def test_no_graph_is_kept_through_the_merge() -> None:
    bank = bank_of(0, 2)
    assert not merge(bank, random_like(bank, 0).requires_grad_()).requires_grad


@pytest.fixture(scope="module")
def double(bank: TaskVectors) -> TaskVectors:
    return TaskVectors(bank.tasks, bank.layout, bank.base.double(), bank.vectors.double())


def entropy_at(bank: TaskVectors, flat: Tensor) -> Tensor:
    """Give the prediction entropy of the real tower with weights ``flat``, in float64."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(4, 3, 16, 16, generator=generator, dtype=torch.float64)
    return entropy_sum(Tower(TOWER).features(bank.layout.unflatten(flat), images))


def contracted_entropy(bank: TaskVectors, coefficients: Tensor) -> Tensor:
    leaf = merge(bank, coefficients).requires_grad_()
    entropy_at(bank, leaf).backward()
    assert leaf.grad is not None
    return contract(bank, leaf.grad)


def test_the_contraction_equals_autograd_through_the_merge(double: TaskVectors) -> None:
    coefficients = 0.3 + 0.1 * random_like(double, 0)
    through = coefficients.clone().requires_grad_()
    sizes = torch.tensor([segment.size for segment in double.layout.segments])
    per_parameter = through.repeat_interleave(sizes, dim=1)
    entropy_at(double, double.base + (per_parameter * double.vectors).sum(0)).backward()
    torch.testing.assert_close(
        contracted_entropy(double, coefficients), through.grad, rtol=0, atol=1e-12
    )


@given(st.integers(0, 2), st.integers(0, 31))
def test_the_contraction_equals_the_central_difference(
    double: TaskVectors, task: int, segment: int
) -> None:
    coefficients = 0.3 + 0.1 * random_like(double, 0)
    step = torch.zeros_like(coefficients)
    step[task, segment] = 1e-5
    above = entropy_at(double, merge(double, coefficients + step))
    below = entropy_at(double, merge(double, coefficients - step))
    slope = contracted_entropy(double, coefficients)[task, segment]
    torch.testing.assert_close(slope, (above - below) / 2e-5, rtol=0, atol=1e-7)


def test_the_golden_layer_gives_its_golden_gradient() -> None:
    """algorithms.md 3.4: one linear layer, two tasks, one image each."""
    layout = Layout.of({"weight": torch.Size([2, 2])})
    vectors = torch.tensor([[1.0, 0, 0, -1], [0, 1, 1, 0]], dtype=torch.float64)
    base = torch.tensor([1.0, 0, 0, 1], dtype=torch.float64)
    bank = TaskVectors(("one", "two"), layout, base, vectors)
    weight = merge(bank, torch.full((2, 1), 0.3, dtype=torch.float64))
    torch.testing.assert_close(weight, torch.tensor([1.3, 0.3, 0.3, 0.7], dtype=torch.float64))

    weight.requires_grad_()
    images = torch.tensor([[1.0, 0.5], [-1.0, 2.0]], dtype=torch.float64)
    losses = [entropy_sum(image[None] @ weight.view(2, 2).T) for image in images]
    gradients = [torch.autograd.grad(loss, weight)[0] for loss in losses]
    per_task = torch.cat([contract(bank, gradient) for gradient in gradients], dim=1)

    golden_losses = torch.tensor([0.6191210810, 0.4083095273], dtype=torch.float64)
    golden = torch.tensor(
        [[-0.2566916358, 0.2191128125], [0.0855638786, 0.6573384376]], dtype=torch.float64
    )
    golden_weight = torch.tensor(
        [-0.3902405697, 0.3526617464, 0.3902405697, -0.3526617464], dtype=torch.float64
    )
    torch.testing.assert_close(torch.stack(losses), golden_losses, rtol=0, atol=1e-10)
    torch.testing.assert_close(per_task, golden, rtol=0, atol=1e-10)
    torch.testing.assert_close(sum(gradients), golden_weight, rtol=0, atol=1e-10)
