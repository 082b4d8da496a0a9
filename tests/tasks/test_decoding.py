import io
from contextlib import suppress

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from distmerge.spec import Preprocess
from distmerge.tasks.decoding import UNDECODABLE, decoded, pixel_rows
from tests.tasks.pictures import encoded

SMOOTH = np.add.outer(np.arange(90), np.arange(60))[..., None] * np.array([1.1, 1.3, 1.5])
PHOTO = (SMOOTH + np.random.default_rng(0).normal(0, 20, SMOOTH.shape)).clip(0, 255).astype("uint8")


def file_of(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def reading(size: int, **ways: str) -> Preprocess:
    return Preprocess.model_validate({"size": size, "mean": (0, 0, 0), "std": (1, 1, 1), **ways})


def pixels_of(content: bytes | np.ndarray, size: int, **ways: str) -> np.ndarray:
    return decoded(content, reading(size, **ways))


def clip_pixels(image: Image.Image, size: int, **ways: str) -> np.ndarray:
    """Give open_clip's validation transform before its normalisation, in 8 bits."""
    mean, std = (0, 0, 0), (1, 1, 1)
    transform = open_clip.image_transform(size, is_train=False, mean=mean, std=std, **ways)
    tensor = transform(image)
    assert isinstance(tensor, torch.Tensor)
    return (tensor * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("shape", [(90, 60), (60, 90), (64, 64), (63, 64), (50, 41)])
@pytest.mark.parametrize("size", [64, 32])
def test_pixels_are_those_of_open_clips_validation_transform(
    shape: tuple[int, int], size: int
) -> None:
    image = Image.fromarray(PHOTO).resize(shape)
    assert np.array_equal(pixels_of(file_of(image), size), clip_pixels(image, size))


@pytest.mark.parametrize("size", [64, 32])
@pytest.mark.parametrize("resize", ["shortest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_every_way_to_resize_is_open_clips(size: int, resize: str, interpolation: str) -> None:
    image = Image.fromarray(PHOTO)
    expected = clip_pixels(image, size, resize_mode=resize, interpolation=interpolation)
    found = pixels_of(file_of(image), size, resize=resize, interpolation=interpolation)
    assert np.array_equal(found, expected)


def test_pixels_are_cached_by_how_they_were_resized() -> None:
    assert pixel_rows(reading(64)).identity == 64  # as ever, so that caches stay
    identities = [
        pixel_rows(reading(64, **ways)).identity
        for ways in ({"resize": "squash"}, {"interpolation": "bilinear"})
    ]
    assert identities == [[64, {"resize": "squash"}], [64, {"interpolation": "bilinear"}]]


def test_a_jpeg_has_the_pixels_that_open_clip_sees() -> None:
    file = encoded(PHOTO, "JPEG")
    assert np.array_equal(pixels_of(file, 64), clip_pixels(Image.open(io.BytesIO(file)), 64))


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
def test_every_mode_becomes_rgb_before_it_is_resized(mode: str) -> None:
    image = Image.fromarray(PHOTO).convert(mode)
    file = file_of(image, "TIFF" if mode == "CMYK" else "PNG")
    expected = clip_pixels(image.convert("RGB"), 64)
    assert np.array_equal(pixels_of(file, 64), expected)


def test_greyscale_is_what_open_clip_sees_too() -> None:
    image = Image.fromarray(PHOTO).convert("L")
    assert np.array_equal(pixels_of(file_of(image), 64), clip_pixels(image, 64))


def test_a_palette_with_transparent_colours_gives_its_colours() -> None:
    image = Image.fromarray(PHOTO).convert("P")
    file = file_of(image, transparency=bytes([0, 128] * 128))
    assert np.array_equal(pixels_of(file, 64), clip_pixels(image.convert("RGB"), 64))


def test_an_image_is_turned_upright() -> None:
    image = Image.fromarray(PHOTO)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    turned = image.transpose(Image.Transpose.ROTATE_90)
    file = file_of(turned, exif=exif)
    assert np.array_equal(pixels_of(file, 64), pixels_of(file_of(image), 64))


def test_pixels_of_the_right_size_stay_as_they_are() -> None:
    pixels = PHOTO[:48, :48]
    assert np.array_equal(pixels_of(encoded(pixels), 48), pixels)
    assert np.array_equal(pixels_of(pixels, 48), pixels)


def test_grey_arrays_are_accepted() -> None:
    assert np.array_equal(pixels_of(PHOTO[:48, :48, 0], 48), PHOTO[:48, :48, :1].repeat(3, axis=2))


def test_sixteen_bit_images_are_refused() -> None:
    file = file_of(Image.fromarray(PHOTO[..., 0].astype(np.uint16) * 256))
    with pytest.raises(ValueError, match=r"more than 8 bits a channel \(mode I;16\)"):
        pixels_of(file, 64)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5])
def test_a_truncated_file_raises_what_is_known_as_undecodable(kind: str, kept: float) -> None:
    file = encoded(PHOTO, kind)
    with pytest.raises(UNDECODABLE, match=r".*"):
        pixels_of(file[: int(kept * len(file))], 64)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow has an opinion on broken tags
@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_file_decodes_or_raises_what_is_known_as_undecodable(seed: int) -> None:
    generator = np.random.default_rng(seed)
    kind = ("PNG", "JPEG", "TIFF", "BMP")[seed % 4]
    content = bytearray(encoded(PHOTO, kind))
    for place in generator.integers(0, min(len(content), 400), 8):
        content[place] = generator.integers(256)
    with suppress(*UNDECODABLE):
        assert pixels_of(bytes(content), 16).shape == (16, 16, 3)
