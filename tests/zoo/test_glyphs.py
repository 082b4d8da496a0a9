import numpy as np
import pytest
from PIL import Image

from distmerge.zoo.glyphs import GlyphSource, coloured, glyph_mask, matplotlib_fonts, placed
from distmerge.zoo.images import Glyphs
from distmerge.zoo.tiny import TINY
from tests.zoo.toys import GLYPHS

FONTS = matplotlib_fonts()


def test_a_glyph_is_cut_to_its_ink() -> None:
    mask = np.asarray(glyph_mask(FONTS / "DejaVuSans.ttf", "L", 48))
    assert mask[:, 0].max() > 0
    assert mask[-1].max() > 0
    assert mask.shape[0] > mask.shape[1]


@pytest.mark.parametrize("angle", [0.1, 30.0])
def test_a_placed_glyph_keeps_to_the_image(angle: float) -> None:
    recipe = GLYPHS.model_copy(update={"rotation": angle})
    ink = placed(Image.new("L", (20, 30), 255), recipe, 16, np.random.default_rng(0))
    assert ink.shape == (16, 16)
    assert 0 <= ink.min() < 0.05
    assert 0.95 < ink.max() <= 1


def test_a_larger_extent_gives_more_ink() -> None:
    mask = Image.new("L", (20, 20), 255)
    small, large = (
        placed(
            mask,
            GLYPHS.model_copy(update={"extent": (extent, extent)}),
            16,
            np.random.default_rng(0),
        ).sum()
        for extent in (0.3, 0.8)
    )
    assert large > 4 * small


def test_ink_and_paper_differ_in_brightness() -> None:
    ink = np.array([[0.0, 1.0]], dtype=np.float32)
    for seed in range(20):
        paper, front = coloured(ink, 70.0, np.random.default_rng(seed))[0].astype(float)
        assert abs(paper.mean() - front.mean()) >= 69  # two roundings of half a grey value


def test_the_same_draw_gives_the_same_image() -> None:
    source = GlyphSource(GLYPHS, 16, FONTS)
    one, other = (source.draw("report", 1, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one, other)


def test_classes_are_the_characters() -> None:
    assert GlyphSource(GLYPHS, 16, FONTS).classes == ("I", "O")


@pytest.mark.parametrize(
    "images",
    [task.images for task in TINY.tasks if isinstance(task.images, Glyphs)],
    ids=lambda images: images.characters[:3],
)
def test_every_face_of_the_tiny_zoo_draws_every_character(images: Glyphs) -> None:
    faces = [face for side in images.faces.values() for face in side]
    masks = {
        (face, character): glyph_mask(FONTS / f"{face}.ttf", character, 24).tobytes()
        for face in faces
        for character in images.characters
    }
    # A character that a font lacks is drawn as its placeholder, the same for every one.
    per_face = [{masks[face, character] for character in images.characters} for face in faces]
    assert min(map(len, per_face)) == len(images.characters)
