import numpy as np
import pytest

from distmerge.zoo.emoji import EmojiSource, emoji_by_side, subject
from distmerge.zoo.images import Emoji, Side
from distmerge.zoo.packages import NpmPackage
from tests.zoo.packed import icons, square

FIRST = NpmPackage(package="first", version="1", sha256="")
SECOND = NpmPackage(package="second", version="1", sha256="")
RECIPE = Emoji(
    source="a toy",
    categories=("Warm", "Cold"),
    categorised_by=FIRST,
    drawn_by=(FIRST, SECOND),
    shares={"train": 0.5, "adapt": 0.25, "report": 0.25},
    split=0,
    extent=(1.0, 1.0),
    offset=(0.5, 0.5),
    rotation=0.1,
    darkest_paper=90.0,
)
WARM = [f"warm-{number}" for number in range(40)]
COLD = [f"cold-{number}" for number in range(40)]
CATEGORIES = dict.fromkeys(WARM, "Warm") | dict.fromkeys(COLD, "Cold")
SIDES: tuple[Side, ...] = ("train", "adapt", "report")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> EmojiSource:
    folder = tmp_path_factory.mktemp("emoji")
    bodies = dict.fromkeys(WARM, square("#ff0000")) | dict.fromkeys(COLD, square("#0000ff"))
    first = icons(folder / "first.tgz", bodies, categories={"Warm": WARM, "Cold": COLD})
    second = icons(folder / "second.tgz", dict.fromkeys(WARM, square("#ffff00")))
    return EmojiSource(RECIPE, 16, {"first": first, "second": second})


def test_every_emoji_is_on_one_side() -> None:
    found = emoji_by_side(RECIPE, CATEGORIES)
    names = [name for members in found.values() for name in members]
    assert sorted(names) == sorted(CATEGORIES)
    assert min(map(len, found.values())) > 0


def test_another_split_gives_other_sides() -> None:
    other = RECIPE.model_copy(update={"split": 1})
    assert emoji_by_side(RECIPE, CATEGORIES) != emoji_by_side(other, CATEGORIES)


def test_skin_tones_and_other_categories_are_left_out() -> None:
    categories = {"waving-hand-dark-skin-tone": "Warm", "red-flag": "Flags"}
    assert set(emoji_by_side(RECIPE, categories).values()) == {()}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("woman-astronaut", "astronaut"),
        ("astronaut", "astronaut"),
        ("man-walking-facing-right", "walking"),
        ("women-holding-hands", "holding-hands"),
        ("woman", "woman"),
        ("snowman", "snowman"),
    ],
)
def test_people_who_do_the_same_are_one_subject(name: str, expected: str) -> None:
    assert subject(name) == expected


@pytest.mark.parametrize("side", SIDES)
def test_an_emoji_covers_its_paper_in_the_colours_of_the_sets(
    source: EmojiSource, side: Side
) -> None:
    generator = np.random.default_rng(0)
    images = [source.draw(side, 0, generator) for _ in range(20)]
    centers = {tuple(image[8, 8].tolist()) for image in images if image is not None}
    assert centers == {(255, 0, 0), (255, 255, 0)}


def test_a_set_without_the_emoji_shows_nothing(source: EmojiSource) -> None:
    generator = np.random.default_rng(0)
    blanks = [source.draw("train", 1, generator) is None for _ in range(40)]
    assert 5 < sum(blanks) < 35


def test_classes_are_the_categories(source: EmojiSource) -> None:
    assert source.classes == ("Warm", "Cold")
