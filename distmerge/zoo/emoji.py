"""Emoji of several sets on coloured paper; the class is the category, and emoji are held out."""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from distmerge.models import address_seed
from distmerge.zoo.icons import IconCollection, icon_categories
from distmerge.zoo.images import Emoji, Side
from distmerge.zoo.pasting import OVERSAMPLING, pasted, resized, turned
from distmerge.zoo.pictures import side_at

_WIDTH = 96  # pixels of a rendered emoji, before it is placed
_PEOPLE = {"man", "men", "woman", "women", "person", "people", "boy", "girl"}


class EmojiSource:
    """Gives emoji; every side has its own, whoever has drawn them."""

    def __init__(self, recipe: Emoji, side_pixels: int, packages: Mapping[str, Path]) -> None:
        self._recipe = recipe
        self._side_pixels = side_pixels
        self._sets = [IconCollection(packages[drawn.package]) for drawn in recipe.drawn_by]
        categories = icon_categories(packages[recipe.categorised_by.package])
        self._names = emoji_by_side(recipe, categories)
        self._picture = lru_cache(maxsize=None)(self._rendered)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the categories."""
        return self._recipe.categories

    def draw(
        self, side: Side, label: int, generator: np.random.Generator
    ) -> UInt8[np.ndarray, "height width 3"] | None:
        """Give a random emoji of a category, or nothing where a random set lacks it."""
        names = self._names[side, label]
        name = names[int(generator.integers(len(names)))]
        number = int(generator.integers(len(self._sets)))
        if name not in self._sets[number]:
            return None
        return self._on_paper(self._picture(number, name), generator)

    def _rendered(self, number: int, name: str) -> Image.Image:
        return self._sets[number].picture(name, _WIDTH)

    def _on_paper(
        self, drawing: Image.Image, generator: np.random.Generator
    ) -> UInt8[np.ndarray, "height width 3"]:
        recipe, side = self._recipe, self._side_pixels
        canvas = OVERSAMPLING * side
        red, green, blue = (int(v) for v in generator.uniform(recipe.darkest_paper, 255, 3))
        paper = Image.new("RGB", (canvas, canvas), (red, green, blue))
        emoji = resized(drawing, canvas, generator.uniform(*recipe.extent))
        if generator.random() < 0.5:
            emoji = emoji.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        emoji = turned(emoji, recipe.rotation, generator)
        scene = pasted(emoji, paper, recipe.offset, generator)
        return np.array(scene.resize((side, side), Image.Resampling.LANCZOS))


def emoji_by_side(
    recipe: Emoji, categories: Mapping[str, str]
) -> dict[tuple[Side, int], tuple[str, ...]]:
    """Give the names of the emoji of every side and class, sorted; skin tones are left out."""
    found: dict[tuple[Side, int], list[str]] = {
        (side, label): [] for side in recipe.shares for label in range(len(recipe.categories))
    }
    for name, category in sorted(categories.items()):
        if category in recipe.categories and "skin-tone" not in name:
            position = address_seed(recipe.split, "emoji", subject(name)) / 2**63
            side = side_at(recipe.shares, position)
            found[side, recipe.categories.index(category)].append(name)
    return {place: tuple(names) for place, names in found.items()}


def subject(name: str) -> str:
    """Give what an emoji shows, so that its man, woman and directions stay on one side."""
    words = re.sub(r"-facing-(left|right)$", "", name).split("-")
    return "-".join(word for word in words if word not in _PEOPLE) or name
