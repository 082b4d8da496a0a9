"""Windows of photographs: the left part trains, the right part is held out, in two halves."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageEnhance

from distmerge.zoo.images import Photos, Side


class PhotoSource:
    """Gives windows of photographs; every side has its own region of each photograph."""

    def __init__(self, recipe: Photos, side_pixels: int) -> None:
        self._recipe = recipe
        self._side_pixels = side_pixels
        self._regions = [
            regions(
                scaled(photograph(name, package), recipe.height), train_width=recipe.train_width
            )
            for name, package in recipe.photographs.items()
        ]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the photographs."""
        return tuple(self._recipe.photographs)

    def draw(
        self, side: Side, label: int, generator: np.random.Generator
    ) -> UInt8[np.ndarray, "height width 3"] | None:
        """Give a window of a photograph, or nothing where the window is nearly uniform."""
        region = self._regions[label][side]
        smallest, largest = self._recipe.window
        length = min(int(generator.integers(smallest, largest + 1)), *region.size)
        left, top = (int(generator.integers(extent - length + 1)) for extent in region.size)
        window = region.crop((left, top, left + length, top + length))
        small = window.resize((self._side_pixels, self._side_pixels), Image.Resampling.LANCZOS)
        lit = ImageEnhance.Brightness(small).enhance(generator.uniform(*self._recipe.brightness))
        pixels = np.array(lit)
        shows_something = pixels.mean(axis=-1).std() >= self._recipe.least_contrast
        return pixels if shows_something else None


def regions(photograph: Image.Image, *, train_width: float) -> dict[Side, Image.Image]:
    """Give a photograph's left part for train, and the rest's halves for adapt and report."""
    width, height = photograph.size
    cut, middle = int(width * train_width), height // 2
    return {
        "train": photograph.crop((0, 0, cut, height)),
        "adapt": photograph.crop((cut, 0, width, middle)),
        "report": photograph.crop((cut, middle, width, height)),
    }


def scaled(photograph: Image.Image, height: int) -> Image.Image:
    """Give a photograph in ``height``, its proportions kept."""
    width = round(photograph.size[0] * height / photograph.size[1])
    return photograph.resize((width, height), Image.Resampling.BICUBIC)


def photograph(name: str, package: str) -> Image.Image:
    """Give a photograph that scikit-image or scikit-learn carries."""
    if package == "sklearn":
        from sklearn.datasets import load_sample_image

        pixels = load_sample_image(f"{name}.jpg")
    else:
        import skimage.data

        loaded = getattr(skimage.data, name)()
        pixels = loaded[0] if isinstance(loaded, tuple) else loaded  # stereo pairs: the left view
    return Image.fromarray(np.asarray(pixels)).convert("RGB")
