import numpy as np
import pytest

from distmerge.zoo.images import Side, Tiles
from distmerge.zoo.tiles import TileSource, World, block_side, tile_corners

RECIPE = Tiles(
    source="a map",
    zones={"land": 1, "sea": 2},
    block=16,
    block_rows=4,
    step=2,
    purity=0.7,
    shares={"train": 0.5, "adapt": 0.25, "report": 0.25},
    split=3,
)
ZONES = np.where(np.arange(96)[None, :] < 48, 1, 2).astype(np.uint8).repeat(64, axis=0)
CORNERS = tile_corners(RECIPE, 8, ZONES)
PLACES: list[tuple[Side, int]] = [(side, label) for side in RECIPE.shares for label in (0, 1)]


@pytest.mark.parametrize(("side", "label"), PLACES)
def test_a_tile_lies_within_one_block_of_its_side(side: Side, label: int) -> None:
    corners = CORNERS[side, label]
    assert np.array_equal(corners // 16, (corners + 7) // 16)
    assert {block_side(RECIPE, int(r), int(c)) for r, c in corners // 16} == {side}


@pytest.mark.parametrize(("side", "label"), PLACES)
def test_a_tile_is_covered_by_its_zone(side: Side, label: int) -> None:
    shares = [
        (ZONES[top : top + 8, left : left + 8] == label + 1).mean()
        for top, left in CORNERS[side, label]
    ]
    assert min(shares) > 0.7


def test_no_pure_tile_is_missed() -> None:
    per_block = 5 * 5  # corners 0, 2, 4, 6, 8 in both directions
    assert sum(map(len, CORNERS.values())) == 4 * 6 * per_block


def test_a_zone_that_is_nowhere_has_no_tiles() -> None:
    corners = tile_corners(RECIPE.model_copy(update={"zones": {"ice": 9}}), 8, ZONES)
    assert [len(found) for found in corners.values()] == [0, 0, 0]


def test_another_split_gives_other_blocks() -> None:
    other = RECIPE.model_copy(update={"split": 4})
    blocks = [(row, column) for row in range(4) for column in range(6)]
    assert [block_side(RECIPE, *at) for at in blocks] != [block_side(other, *at) for at in blocks]


def test_a_drawn_tile_is_a_piece_of_the_image() -> None:
    image = np.arange(64 * 96 * 3).reshape(64, 96, 3).astype(np.uint8)
    source = TileSource(RECIPE, 8, World(image, ZONES))
    tile = source.draw("report", 1, np.random.default_rng(0))
    pieces = [image[y : y + 8, x : x + 8] for y, x in CORNERS["report", 1]]
    assert any(np.array_equal(tile, piece) for piece in pieces)
