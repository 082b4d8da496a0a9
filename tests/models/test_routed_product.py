"""Products with every image's own matrix: tiles, factors, and what each costs."""

import pytest
import torch
from torch import Tensor

from distmerge.models import Factors, most_ranks
from distmerge.models.routed_product import Tile, factored_product, tile_of, tiled_product

BUDGET = 8 << 20


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def factors_of(outer: int = 6, inner: int = 7) -> Factors:
    """Give factors of three tasks with 2, 0 and 1 ranks."""
    tasks = torch.tensor([0, 0, 2])
    return Factors(random(3, outer, seed=4), random(3, inner, seed=5), tasks)


def vectors_of(factors: Factors) -> Tensor:
    ranks = factors.left[:, :, None] * factors.right[:, None]
    whole = ranks.new_zeros(3, *ranks.shape[1:])
    return whole.index_add(0, factors.tasks, ranks)


@pytest.mark.parametrize(
    ("outer", "inner", "images", "expected"),
    [
        (2304, 768, 16, Tile(16, 170)),
        (768, 3072, 16, Tile(10, 68)),
        (768, 768, 128, Tile(42, 65)),
        (32, 768, 16, Tile(16, 32)),
        (64, 64, 16, Tile(16, 64)),
    ],
)
def test_tiles_are_of_fewer_images_before_they_are_of_few_rows(
    outer: int, inner: int, images: int, expected: Tile
) -> None:
    assert tile_of(outer, inner, images=images, element_bytes=4, budget=BUDGET) == expected


@pytest.mark.parametrize("budget", [1, 100, 5_000, 1 << 20, BUDGET])
@pytest.mark.parametrize(("outer", "inner"), [(1, 3072), (3072, 1), (768, 3072), (37, 11)])
def test_the_tiles_of_all_images_fit_into_the_budget(outer: int, inner: int, budget: int) -> None:
    tile = tile_of(outer, inner, images=16, element_bytes=4, budget=budget)
    assert 1 <= tile.rows <= outer
    assert 1 <= tile.images <= 16
    assert 4 * inner * tile.rows * tile.images <= max(budget, 4 * inner)


def test_the_tiles_are_all_rows_of_all_images() -> None:
    covered = torch.zeros(7, 5)
    for images, rows in Tile(3, 2).cut(7, 5):
        covered[images, rows] += 1
    assert torch.equal(covered, torch.ones(7, 5))


@pytest.mark.parametrize("budget", [100, BUDGET])
def test_tiled_products_have_the_gradients_that_autograd_finds(budget: int) -> None:
    base, vectors = random(6, 7), random(3, 6, 7, seed=1)
    tokens, shares = random(2, 2, 7, seed=2), random(2, 3, seed=3)
    leaves = [part.requires_grad_() for part in (tokens, shares)]

    def products(tokens: Tensor, shares: Tensor) -> Tensor:
        return tiled_product(tokens, shares, base, vectors, budget)

    assert torch.autograd.gradcheck(products, leaves)
    expected = torch.einsum(
        "bti,boi->bto", tokens, base + torch.einsum("bk,koi->boi", shares, vectors)
    )
    torch.testing.assert_close(products(tokens, shares), expected)


def test_factors_give_the_products_and_gradients_of_their_vectors() -> None:
    base, factors = random(6, 7), factors_of()
    tokens = random(4, 5, 7, seed=2)
    found, wanted = (random(4, 3, seed=3).requires_grad_() for _ in range(2))
    ours = factored_product(tokens, found, base, factors)
    exact = tiled_product(tokens, wanted, base, vectors_of(factors), BUDGET)
    torch.testing.assert_close(ours, exact)
    ours.square().sum().backward()
    exact.square().sum().backward()
    torch.testing.assert_close(found.grad, wanted.grad)


@pytest.mark.parametrize(
    ("outer", "inner", "tokens", "ranks"),
    [(768, 768, 50, 189), (3072, 768, 50, 303), (1024, 1024, 257, 186)],
)
def test_the_most_ranks_that_pay_are_those_of_the_cost_count(
    outer: int, inner: int, tokens: int, ranks: int
) -> None:
    assert most_ranks(outer, inner, tokens=tokens, tasks=8) == ranks
    tiles = 3 * (tokens + 8) * outer * inner
    costs = [
        2 * tokens * outer * inner + 3 * tokens * r * (outer + inner) for r in (ranks, ranks + 1)
    ]
    assert costs[0] < tiles <= costs[1]


def test_large_tiles_give_the_same_products_in_float32() -> None:
    base, vectors = random(300, 500).float(), random(2, 300, 500, seed=1).float()
    tokens, shares = random(3, 5, 500, seed=2).float(), random(3, 2, seed=3).float()
    matrices = base + torch.einsum("bk,koi->boi", shares, vectors)
    found = tiled_product(tokens, shares, base, vectors, 2 * 4 * 200 * 500)
    torch.testing.assert_close(found, tokens @ matrices.mT, rtol=1e-4, atol=1e-3)
