from pathlib import Path

import numpy as np
import pytest

from distmerge.zoo.icons import IconCollection, icon_categories
from tests.zoo.packed import icons, square


@pytest.fixture
def collection(tmp_path: Path) -> IconCollection:
    aliases = {"also-red": {"parent": "red"}, "turned": {"parent": "red", "rotate": 1}}
    bodies = {"red": square("#ff0000"), "half": '<rect width="5" height="10" fill="#0000ff"/>'}
    return IconCollection(icons(tmp_path / "toy.tgz", bodies, aliases=aliases))


def test_an_icon_is_rendered_in_its_colour(collection: IconCollection) -> None:
    picture = np.asarray(collection.picture("red", 20))
    assert picture.shape == (20, 20, 4)
    assert np.unique(picture.reshape(-1, 4), axis=0).tolist() == [[255, 0, 0, 255]]


def test_what_is_not_drawn_is_transparent(collection: IconCollection) -> None:
    alpha = np.asarray(collection.picture("half", 20))[..., 3]
    assert (alpha[:, :10].min(), alpha[:, 10:].max()) == (255, 0)


def test_an_icon_has_its_other_names(collection: IconCollection) -> None:
    assert collection.svg("also-red") == collection.svg("red")


@pytest.mark.parametrize("name", ["green", "turned"])
def test_an_icon_that_is_not_there_or_altered_is_not_given(
    collection: IconCollection, name: str
) -> None:
    assert name not in collection


def test_every_icon_has_its_category(tmp_path: Path) -> None:
    packed = icons(tmp_path / "toy.tgz", {}, categories={"Warm": ["red"], "Cold": ["blue", "sea"]})
    assert icon_categories(packed) == {"red": "Warm", "blue": "Cold", "sea": "Cold"}
