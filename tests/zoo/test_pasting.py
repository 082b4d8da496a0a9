import numpy as np
import pytest
from PIL import Image

from distmerge.zoo.pasting import pasted, resized, turned

RED = Image.new("RGBA", (40, 20), (255, 0, 0, 255))


@pytest.mark.parametrize(("stretch", "size"), [(1.0, (50, 25)), (0.8, (50, 20))])
def test_the_longer_side_takes_its_share_of_the_canvas(
    stretch: float, size: tuple[int, int]
) -> None:
    assert resized(RED, 100, 0.5, stretch=stretch).size == size


def test_turning_keeps_the_corners() -> None:
    seen = np.asarray(turned(RED, 45.0, np.random.default_rng(0)))[..., 3] > 127
    assert seen.sum() == pytest.approx(40 * 20, rel=0.05)


def test_a_drawing_lies_within_the_background() -> None:
    paper = Image.new("RGB", (60, 60))
    image = np.asarray(pasted(RED, paper, (0.2, 0.8), np.random.default_rng(0)))
    assert (image[..., 0] > 0).sum() == 40 * 20


def test_the_background_itself_is_kept() -> None:
    paper = Image.new("RGB", (60, 60))
    pasted(RED, paper, (0.2, 0.8), np.random.default_rng(0))
    assert np.asarray(paper).max() == 0
