from io import BytesIO

import numpy as np
import pytest
import skimage.data
from jaxtyping import UInt8
from PIL import Image

from distmerge.errors import ConfigError
from distmerge.tasks.corruptions import CORRUPTIONS, SEVERITIES, benchmark_for, corrupted

ASTRONAUT = Image.fromarray(skimage.data.astronaut())
GREY = np.full((64, 64, 3), 128, dtype=np.uint8)
SPATIAL = ("motion_blur", "pixelate", "spatter")
DRAWS = 4


def photo(side: int) -> UInt8[np.ndarray, "side side 3"]:
    return np.asarray(ASTRONAUT.resize((side, side), Image.Resampling.BICUBIC))


def under(
    pixels: UInt8[np.ndarray, "height width 3"], corruption: str, severity: int, seed: int = 0
) -> UInt8[np.ndarray, "height width 3"]:
    return corrupted(pixels, corruption, severity, np.random.default_rng(seed))


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other).mean())


def enlarged(
    pixels: UInt8[np.ndarray, "height width 3"],
) -> UInt8[np.ndarray, "_ _ 3"]:
    return pixels.repeat(2, axis=0).repeat(2, axis=1)


def errors(side: int, corruption: str, severities: tuple[int, ...]) -> list[float]:
    """Give the mean absolute error of each severity, in intensities of 0 to 255."""
    clean = photo(side)
    return [
        float(
            np.mean([distance(under(clean, corruption, s, seed), clean) for seed in range(DRAWS)])
        )
        for s in severities
    ]


@pytest.mark.parametrize("shape", [(32, 32), (1, 1), (40, 1), (1, 40), (7, 70)])
@pytest.mark.parametrize("grey", [0, 128, 255])
@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_every_shape_of_image_stays_an_image_of_its_shape(
    corruption: str, severity: int, grey: int, shape: tuple[int, int]
) -> None:
    pixels = np.full((*shape, 3), grey, dtype=np.uint8)
    result = under(pixels, corruption, severity)
    assert result.shape == pixels.shape
    assert result.dtype == np.uint8


@pytest.mark.parametrize("side", [32, 64, 224])
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_the_first_three_severities_go_ever_farther_from_the_clean_image(
    corruption: str, side: int
) -> None:
    first, second, third = errors(side, corruption, (1, 2, 3))
    assert 0 < first < second < third


@pytest.mark.parametrize("side", [32, 64, 224])
@pytest.mark.parametrize("corruption", sorted(set(CORRUPTIONS) - {"spatter"}))
def test_the_last_severities_go_no_less_far_than_the_third(corruption: str, side: int) -> None:
    third, fourth, fifth = errors(side, corruption, (3, 4, 5))
    # CIFAR-10-C's motion blurs 3 and 4 differ in the length of a tail without weight.
    assert third - 0.01 <= fourth < fifth


@pytest.mark.parametrize("side", [32, 64, 224])
def test_more_mud_covers_more(side: int) -> None:
    fourth, fifth = errors(side, "spatter", (4, 5))
    assert 0 < fourth < fifth


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_generator_gives_one_image_and_leaves_the_clean_one_as_it_was(corruption: str) -> None:
    pixels = photo(32)
    before = pixels.copy()
    assert np.array_equal(under(pixels, corruption, 3), under(pixels, corruption, 3))
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_only_what_is_drawn_differs_between_generators(corruption: str) -> None:
    drawn = corruption not in {"contrast", "jpeg_compression", "pixelate"}
    one, other = (under(photo(32), corruption, 3, seed) for seed in (0, 1))
    assert np.array_equal(one, other) is not drawn


@pytest.mark.parametrize(
    ("side", "benchmark"),
    [(1, 32), (32, 32), (63, 32), (64, 64), (223, 64), (224, 224), (1000, 224)],
)
def test_an_image_takes_the_numbers_of_the_largest_benchmark_that_fits(
    side: int, benchmark: int
) -> None:
    assert benchmark_for(side).side == benchmark


@pytest.mark.parametrize("corruption", SPATIAL)
def test_an_enlarged_image_looks_like_the_corrupted_one_enlarged(corruption: str) -> None:
    clean = photo(224)
    small = enlarged(under(clean, corruption, 5))
    large = under(enlarged(clean), corruption, 5)
    strength = distance(small, enlarged(clean))
    assert distance(small, large) < 0.25 * strength  # drops get smooth edges, trails half pixels


def test_contrast_shrinks_the_distance_to_the_mean_colour() -> None:
    pixels = np.array([[[0, 100, 255], [200, 100, 55]]], dtype=np.uint8)
    expected = [[[50, 100, 205], [150, 100, 105]]]  # CIFAR-10-C's severity 2 keeps a half
    assert under(pixels, "contrast", 2).tolist() == expected


def test_pixelate_gives_the_mean_of_every_block() -> None:
    pixels = photo(64)
    blocks = pixels.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))  # severity 5 halves 64 pixels
    expected = blocks.repeat(2, axis=0).repeat(2, axis=1)
    assert np.abs(under(pixels, "pixelate", 5) - expected).max() <= 1  # Pillow rounds every axis


def test_pixelate_of_two_by_two_pixels_is_their_mean() -> None:
    pixels = np.array([[0, 100], [100, 200]], dtype=np.uint8)[..., None].repeat(3, axis=2)
    assert np.unique(under(pixels, "pixelate", 1)).tolist() == [100]


@pytest.mark.parametrize(("severity", "quality"), [(1, 80), (2, 65), (3, 58), (4, 50), (5, 40)])
def test_jpeg_is_pillows_own_round_trip(severity: int, quality: int) -> None:
    file = BytesIO()
    Image.fromarray(photo(32)).save(file, "JPEG", quality=quality)
    expected = np.asarray(Image.open(file))
    assert np.array_equal(under(photo(32), "jpeg_compression", severity), expected)


@pytest.mark.parametrize(("severity", "std"), [(1, 0.04), (3, 0.12), (5, 0.18)])
def test_gaussian_noise_has_the_published_deviation(severity: int, std: float) -> None:
    noisy = under(GREY, "gaussian_noise", severity) / 255
    assert noisy.std() == pytest.approx(std, rel=0.03)  # 12,288 values: 0.6 % is one deviation
    assert noisy.mean() == pytest.approx(128 / 255, abs=0.005)


@pytest.mark.parametrize(("severity", "share"), [(1, 0.01), (3, 0.05), (5, 0.14)])
def test_impulse_noise_turns_the_published_share_black_or_white(
    severity: int, share: float
) -> None:
    noisy = under(GREY, "impulse_noise", severity)
    changed = noisy[noisy != GREY]
    assert set(changed.tolist()) == {0, 255}
    deviation = np.sqrt(share * (1 - share) / GREY.size)
    assert len(changed) / GREY.size == pytest.approx(share, abs=4 * deviation)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_motion_draws_a_dot_out_into_a_line_of_the_same_brightness(severity: int) -> None:
    pixels = np.zeros((65, 65, 3), dtype=np.uint8)
    pixels[32, 32] = 255
    blurred = under(pixels, "motion_blur", severity)
    assert blurred.sum() / 3 == pytest.approx(255, abs=8)  # every pixel of the trail is rounded
    rows, columns = blurred[..., 0].nonzero()
    slope, offset = np.polyfit(columns, rows, 1)
    assert abs(slope) <= 1.1  # at most 45 degrees, up to the raster
    assert np.abs(rows - slope * columns - offset).max() < 1


@pytest.mark.parametrize("severity", SEVERITIES)
def test_motion_leaves_a_plain_image_as_it_is(severity: int) -> None:
    assert np.array_equal(under(GREY, "motion_blur", severity), GREY)


@pytest.mark.parametrize(("severity", "brighter"), [(1, True), (3, True), (4, False), (5, False)])
def test_water_brightens_and_mud_darkens(severity: int, brighter: bool) -> None:
    change = under(GREY, "spatter", severity).astype(int) - GREY
    assert change.any()
    assert (change >= 0).all() if brighter else (change <= 0).all()


def test_unknown_names_and_severities_are_listed_at_once() -> None:
    with pytest.raises(
        ConfigError, match=r"name: got 'fog', expected one of motion_blur, "
    ) as seen:
        under(GREY, "fog", 6)
    assert "severity: got 6, expected one of (1, 2, 3, 4, 5)" in str(seen.value)


@pytest.mark.parametrize("severity", [-1, 0, 6])
def test_a_severity_beyond_one_to_five_is_refused(severity: int) -> None:
    with pytest.raises(ConfigError, match=f"severity: got {severity}, expected one of"):
        under(GREY, "contrast", severity)
