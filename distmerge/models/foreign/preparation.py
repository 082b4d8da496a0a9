"""How transformers prepares images, as far as a tower's description can say it."""

from collections.abc import Iterator, Mapping
from typing import Any

from distmerge.errors import CheckpointError, problem_list
from distmerge.models.foreign.architecture import MEAN, STD
from distmerge.spec import Preprocess

_BILINEAR, _BICUBIC = 2, 3  # Pillow's numbers


def read_preparation(preprocessor: Mapping[str, Any], size: int) -> Preprocess:
    """Give what ``preprocessor_config.json`` says; what is left out or null is as CLIP has it.

    Args:
        preprocessor: its content.
        size: the tower's ``image_size``.

    Raises:
        CheckpointError: lists what a tower's description cannot say.
        ValidationError: mean or deviation are not three numbers.
    """
    given = {name: value for name, value in preprocessor.items() if value is not None}
    problems = list(_problems(given, size))
    if problems:
        title = "preprocessor_config.json prepares images as no tower here reads them"
        raise CheckpointError(problem_list(title, problems))
    normalises = given.get("do_normalize", True)
    return Preprocess(
        size=size,
        mean=given.get("image_mean", MEAN) if normalises else (0.0, 0.0, 0.0),
        std=given.get("image_std", STD) if normalises else (1.0, 1.0, 1.0),
        resize="squash" if given.get("size") == _square(size) else "shortest",
        interpolation="bilinear" if given.get("resample") == _BILINEAR else "bicubic",
    )


def _problems(given: Mapping[str, Any], size: int) -> Iterator[str]:
    cuts, square = given.get("do_center_crop", True), _square(size)
    expected: dict[str, list[object]] = {
        "size": [square, {"shortest_edge": size}, size] if cuts else [square],
        "crop_size": [square, size] if cuts else [given.get("crop_size")],
        "resample": [_BILINEAR, _BICUBIC],
        "do_resize": [True],
        "do_rescale": [True],
    }
    for name, value in {"size": size, **given}.items():
        if value not in expected.get(name, [value]):
            yield f"{name}: {value}; expected {' or '.join(map(str, expected[name]))}"
    factor = given.get("rescale_factor", 1 / 255)
    if not isinstance(factor, int | float) or not abs(255 * factor - 1) < 1e-6:
        yield f"rescale_factor: {factor}; expected 1/255"


def _square(size: int) -> dict[str, int]:
    return {"height": size, "width": size}
