from itertools import product

import pytest

from distmerge.zoo.images import Typefaces
from distmerge.zoo.mini_fonts import KANA, LETTERS

BOTH = pytest.mark.parametrize("images", [LETTERS, KANA], ids=["letters", "kana"])


@BOTH
def test_no_family_is_held_out_for_two_sides(images: Typefaces) -> None:
    pairs = product(images.held_out["adapt"], images.held_out["report"])
    assert not [
        pair for pair in pairs if pair[0].startswith(pair[1]) or pair[1].startswith(pair[0])
    ]


@BOTH
def test_every_class_and_package_is_named_once(images: Typefaces) -> None:
    assert len(set(images.characters)) == len(images.characters)
    assert len(set(images.fonts)) == len(images.fonts)


def test_the_classes_are_latin_capitals_and_hiragana() -> None:
    assert (len(LETTERS.characters), len(KANA.characters)) == (26, 46)


def test_both_are_rendered_alike() -> None:
    fields = {"points", "extent", "offset", "rotation", "least_contrast"}
    assert LETTERS.model_dump(include=fields) == KANA.model_dump(include=fields)


def test_a_recipe_survives_its_validation() -> None:
    assert Typefaces.model_validate(KANA.model_dump()) == KANA
