"""Factors of task vectors: which matrices get them, how close they are, what is said of it."""

import pytest
import torch
from torch import Tensor

from distmerge.models import Factors
from distmerge.taskvectors import Layout, TaskVectors, low_rank

OUTER, INNER, TASKS = 96, 64, 3
TOKENS = {"adapted": 50, "tuned": 50}  # up to 58 ranks in all pay


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def bank(*, ranks: tuple[int, ...] = (2, 0, 5), noise: float = 0.0) -> TaskVectors:
    """Give a bank of one matrix of these ranks, one of full rank, and a bias."""
    adapted = torch.stack(
        [random(OUTER, r, seed=k) @ random(r, INNER, seed=k + 9) for k, r in enumerate(ranks)]
    )
    adapted += noise * random(*adapted.shape, seed=20)
    tuned, bias = random(TASKS, OUTER, INNER, seed=21), random(TASKS, OUTER, seed=22)
    vectors = torch.cat([part.flatten(1) for part in (adapted, tuned, bias)], dim=1)
    shapes = {"adapted": (OUTER, INNER), "tuned": (OUTER, INNER), "bias": (OUTER,)}
    layout = Layout.of({name: torch.Size(shape) for name, shape in shapes.items()})
    return TaskVectors(("a", "b", "c"), layout, torch.zeros(layout.num_parameters), vectors)


def restored(factors: Factors) -> Tensor:
    ranks = factors.left[:, :, None] * factors.right[:, None]
    return ranks.new_zeros(TASKS, OUTER, INNER).index_add(0, factors.tasks, ranks)


def adapted_of(vectors: TaskVectors) -> Tensor:
    return vectors.vectors[:, : OUTER * INNER].view(TASKS, OUTER, INNER)


def test_without_a_bound_every_matrix_stays_exact() -> None:
    found = low_rank(bank(), 0.0, TOKENS)
    assert not found.factors
    assert not found.errors


def test_matrices_of_adapters_get_their_ranks_task_by_task() -> None:
    found = low_rank(bank(), 1e-4, TOKENS)
    assert found.factors.keys() == {"adapted"}
    assert found.factors["adapted"].tasks.tolist() == [0] * 2 + [2] * 5
    torch.testing.assert_close(
        restored(found.factors["adapted"]), adapted_of(bank()), rtol=0, atol=1e-4
    )
    assert all(error < 1e-5 for error in found.errors.values())


def test_a_matrix_of_full_rank_stays_exact() -> None:
    assert "tuned" not in low_rank(bank(), 0.3, TOKENS).factors


def test_only_named_matrices_get_factors() -> None:
    assert not low_rank(bank(), 0.5, {"tuned": 50}).factors


@pytest.mark.parametrize("bound", [0.1, 0.2, 0.6])
def test_every_matrix_keeps_its_bound_with_as_few_ranks_as_an_svd(bound: float) -> None:
    vectors = bank(ranks=(2, 3, 5), noise=0.05)
    whole = adapted_of(vectors)
    factors = low_rank(vectors, bound, TOKENS).factors["adapted"]
    lost = torch.linalg.matrix_norm(restored(factors) - whole)
    assert (lost <= (1 + 1e-5) * bound * torch.linalg.matrix_norm(whole)).all()
    squares = torch.linalg.svdvals(whole.double()).square()
    tails = squares.flip(1).cumsum(1).flip(1)
    needed = (tails > bound**2 * squares.sum(dim=1, keepdim=True)).sum(dim=1)
    assert factors.tasks.bincount(minlength=TASKS).tolist() == pytest.approx(needed.tolist(), abs=1)


def test_the_error_is_that_of_a_tasks_whole_vector() -> None:
    vectors = bank(ranks=(4, 4, 4))
    found = low_rank(vectors, 0.5, {"adapted": 50})
    lost = (restored(found.factors["adapted"]) - adapted_of(vectors)).flatten(1).norm(dim=1)
    expected = lost / vectors.vectors.norm(dim=1)
    assert expected.min() > 0.01
    torch.testing.assert_close(
        torch.tensor(list(found.errors.values())), expected, rtol=1e-4, atol=0
    )


def test_a_tasks_vector_of_zeros_has_no_error() -> None:
    vectors = bank()
    vectors.vectors[1] = 0
    assert low_rank(vectors, 0.01, TOKENS).errors["b"] == 0


def test_the_same_bank_gives_the_same_factors() -> None:
    vectors = bank(ranks=(2, 3, 5), noise=0.05)
    first, second = (low_rank(vectors, 0.3, TOKENS).factors["adapted"] for _ in range(2))
    assert torch.equal(first.left, second.left)
    assert torch.equal(first.right, second.right)


@pytest.mark.parametrize(("bound", "factored"), [(1e-3, False), (5e-3, True)])
def test_the_rounding_of_a_bfloat16_bank_is_an_error_of_full_rank(
    bound: float, *, factored: bool
) -> None:
    exact = bank()
    rounded = TaskVectors(exact.tasks, exact.layout, exact.base, exact.vectors.bfloat16())
    assert ("adapted" in low_rank(rounded, bound, TOKENS).factors) is factored
