"""The seven corruptions of ImageNet-C that merging papers report under, at five severities.

Source: Hendrycks and Dietterich, arXiv:1903.12261; the numbers are those of
github.com/hendrycks/robustness for ImageNet-C, Tiny-ImageNet-C and CIFAR-10-C.
An image takes the numbers of the largest of the three whose side fits into its shorter side
(CIFAR-10-C's below 32 px), and lengths in pixels grow with the image from there. JPEG's blocks of
8 pixels do not. More severe means farther from the clean image, but for spatter: 1 to 3 are
water, 4 and 5 mud, which may cover less.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float64, UInt8
from PIL import Image
from scipy.ndimage import correlate, distance_transform_edt, gaussian_filter, uniform_filter
from skimage.feature import canny
from skimage.util import random_noise

from distmerge.errors import ConfigError, problem_list

CorruptionName = Literal[
    "motion_blur",
    "impulse_noise",
    "gaussian_noise",
    "pixelate",
    "spatter",
    "contrast",
    "jpeg_compression",
]
CORRUPTIONS: tuple[CorruptionName, ...] = get_args(CorruptionName)
SEVERITIES = (1, 2, 3, 4, 5)

_BILINEAR, _BOX = Image.Resampling.BILINEAR, Image.Resampling.BOX
_WATER = np.array([175, 238, 238]) / 255  # pale turquoise
_MUD = np.array([63, 42, 20]) / 255  # brown
_REACH = 20.0  # pixels from a drop's edge beyond which its shade no longer changes
_RELIEF = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])  # light from the upper left
_LEAST_MUD = 0.8  # thinner mud is not seen


class Motion(NamedTuple):
    """A trail behind every pixel, in pixels."""

    radius: float
    sigma: float


class Splash(NamedTuple):
    """Smoothed noise above a threshold: drops of water, or mud."""

    mean: float
    std: float
    blur: float
    threshold: float
    finish: float
    """Water: the opacity of its brightest point. Mud: how far its edges blur, in pixels."""
    mud: bool


class Benchmark(NamedTuple):
    """The numbers of one published benchmark, five severities each."""

    side: int
    gaussian_noise: Sequence[float]
    """Standard deviation, of intensities in [0, 1]."""
    impulse_noise: Sequence[float]
    """Share of the values that turn black or white."""
    motion_blur: Sequence[Motion]
    contrast: Sequence[float]
    """What is left of the distance to the mean colour."""
    jpeg_quality: Sequence[int]
    pixelate: Sequence[float]
    """Blocks per pixel, along a side."""
    spatter: Sequence[Splash]


CIFAR_10_C = Benchmark(
    side=32,
    gaussian_noise=(0.04, 0.06, 0.08, 0.09, 0.10),
    impulse_noise=(0.01, 0.02, 0.03, 0.05, 0.07),
    motion_blur=(Motion(6, 1), Motion(6, 1.5), Motion(6, 2), Motion(8, 2), Motion(9, 2.5)),
    contrast=(0.75, 0.5, 0.4, 0.3, 0.15),
    jpeg_quality=(80, 65, 58, 50, 40),
    pixelate=(0.95, 0.9, 0.85, 0.75, 0.65),
    spatter=(
        Splash(0.62, 0.1, 0.7, 0.7, 0.5, mud=False),
        Splash(0.65, 0.1, 0.8, 0.7, 0.5, mud=False),
        Splash(0.65, 0.3, 1.0, 0.69, 0.5, mud=False),
        Splash(0.65, 0.1, 0.7, 0.69, 0.6, mud=True),
        Splash(0.65, 0.1, 0.5, 0.68, 0.6, mud=True),
    ),
)
TINY_IMAGENET_C = Benchmark(
    side=64,
    gaussian_noise=(0.04, 0.08, 0.12, 0.15, 0.18),
    impulse_noise=(0.01, 0.02, 0.05, 0.08, 0.14),
    motion_blur=(Motion(10, 1), Motion(10, 1.5), Motion(10, 2), Motion(10, 2.5), Motion(12, 3)),
    contrast=(0.4, 0.3, 0.2, 0.1, 0.05),
    jpeg_quality=(65, 58, 50, 40, 25),
    pixelate=(0.9, 0.8, 0.7, 0.6, 0.5),
    spatter=(
        Splash(0.62, 0.1, 0.7, 0.7, 0.6, mud=False),
        Splash(0.65, 0.1, 0.8, 0.7, 0.6, mud=False),
        Splash(0.65, 0.3, 1.0, 0.69, 0.6, mud=False),
        Splash(0.65, 0.1, 0.7, 0.68, 0.6, mud=True),
        Splash(0.65, 0.1, 0.5, 0.67, 0.6, mud=True),
    ),
)
IMAGENET_C = Benchmark(
    side=224,
    gaussian_noise=(0.08, 0.12, 0.18, 0.26, 0.38),
    impulse_noise=(0.03, 0.06, 0.09, 0.17, 0.27),
    motion_blur=(Motion(10, 3), Motion(15, 5), Motion(15, 8), Motion(15, 12), Motion(20, 15)),
    contrast=(0.4, 0.3, 0.2, 0.1, 0.05),
    jpeg_quality=(25, 18, 15, 10, 7),
    pixelate=(0.6, 0.5, 0.4, 0.3, 0.25),
    spatter=(
        Splash(0.65, 0.3, 4.0, 0.69, 0.6, mud=False),
        Splash(0.65, 0.3, 3.0, 0.68, 0.6, mud=False),
        Splash(0.65, 0.3, 2.0, 0.68, 0.5, mud=False),
        Splash(0.65, 0.3, 1.0, 0.65, 1.5, mud=True),
        Splash(0.67, 0.4, 1.0, 0.65, 1.5, mud=True),
    ),
)


def benchmark_for(side: int) -> Benchmark:
    """Give the numbers for images whose shorter side has ``side`` pixels."""
    fitting = [one for one in (IMAGENET_C, TINY_IMAGENET_C, CIFAR_10_C) if one.side <= side]
    return fitting[0] if fitting else CIFAR_10_C


def corrupted(
    pixels: UInt8[np.ndarray, "height width 3"],
    corruption: str,
    severity: int,
    generator: np.random.Generator,
) -> UInt8[np.ndarray, "height width 3"]:
    """Give an image under one corruption; ``generator`` decides noise, angles and drops.

    Departs: rounds to 8 bits where the authors truncate; drops of water and motion are
    computed by SciPy, scikit-image and NumPy, not by OpenCV and ImageMagick.

    Raises:
        ConfigError: the corruption or the severity is unknown.
    """
    _refuse_unknown(corruption, severity)
    side = min(pixels.shape[:2])
    benchmark = benchmark_for(side)
    scale = max(1.0, side / benchmark.side)  # a blur of less than a pixel would be none
    image, step = pixels / 255.0, severity - 1
    match corruption:
        case "motion_blur":
            image = _motion_blurred(image, benchmark.motion_blur[step], scale, generator)
        case "impulse_noise":
            share = benchmark.impulse_noise[step]
            image = random_noise(image, mode="s&p", amount=share, rng=generator)
        case "gaussian_noise":
            variance = benchmark.gaussian_noise[step] ** 2
            image = random_noise(image, mode="gaussian", var=variance, rng=generator)
        case "pixelate":
            return _pixelated(pixels, benchmark.pixelate[step] / scale)
        case "spatter":
            image = _spattered(image, benchmark.spatter[step], scale, generator)
        case "contrast":
            mean = image.mean(axis=(0, 1))
            image = mean + benchmark.contrast[step] * (image - mean)
        case _:
            return _jpeg_compressed(pixels, benchmark.jpeg_quality[step])
    rounded: np.ndarray = np.rint(image.clip(0, 1) * 255)
    return rounded.astype(np.uint8)


def _refuse_unknown(corruption: str, severity: int) -> None:
    problems = []
    if corruption not in CORRUPTIONS:
        problems.append(f"name: got {corruption!r}, expected one of {', '.join(CORRUPTIONS)}")
    if severity not in SEVERITIES:
        problems.append(f"severity: got {severity}, expected one of {SEVERITIES}")
    if problems:
        raise ConfigError(problem_list("corruption", problems))


def _motion_blurred(
    image: Float64[np.ndarray, "height width 3"],
    motion: Motion,
    scale: float,
    generator: np.random.Generator,
) -> Float64[np.ndarray, "height width 3"]:
    """Give the mean along a half-Gaussian trail, up to 45 degrees from the horizontal."""
    angle = np.deg2rad(generator.uniform(-45, 45))
    distances = np.arange(2 * np.ceil(motion.radius * scale) + 1)
    weights = np.exp(-((distances / (motion.sigma * scale)) ** 2) / 2)
    rows, columns = (np.arange(size) for size in image.shape[:2])
    blurred = np.zeros_like(image)
    for distance, weight in zip(distances, weights / weights.sum(), strict=True):
        down, right = np.rint(distance * np.array([np.sin(angle), np.cos(angle)])).astype(int)
        shifted = (rows + down).clip(0, rows[-1]), (columns + right).clip(0, columns[-1])
        blurred += weight * image[np.ix_(*shifted)]
    return blurred


def _pixelated(
    pixels: UInt8[np.ndarray, "height width 3"], blocks_per_pixel: float
) -> UInt8[np.ndarray, "height width 3"]:
    height, width = (max(1, int(size * blocks_per_pixel)) for size in pixels.shape[:2])
    picture = Image.fromarray(pixels)
    return np.asarray(picture.resize((width, height), _BOX).resize(picture.size, _BOX))


def _jpeg_compressed(
    pixels: UInt8[np.ndarray, "height width 3"], quality: int
) -> UInt8[np.ndarray, "height width 3"]:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def _spattered(
    image: Float64[np.ndarray, "height width 3"],
    splash: Splash,
    scale: float,
    generator: np.random.Generator,
) -> Float64[np.ndarray, "height width 3"]:
    """Give the image behind drops or mud, which are made at the benchmark's size and enlarged."""
    height, width = image.shape[:2]
    size = (round(height / scale), round(width / scale))
    noise = generator.normal(splash.mean, splash.std, size)
    liquid = gaussian_filter(noise, splash.blur, mode="nearest")
    liquid[liquid < splash.threshold] = 0
    layer = _mud(liquid, splash.finish) if splash.mud else splash.finish * _water(liquid)
    if scale > 1:
        enlarged = Image.fromarray(layer.astype(np.float32)).resize((width, height), _BILINEAR)
        layer = np.asarray(enlarged, dtype=np.float64)
    cover = layer[..., None]
    return (1 - cover) * image + cover * _MUD if splash.mud else image + cover * _WATER


def _mud(
    liquid: Float64[np.ndarray, "height width"], blur: float
) -> Float64[np.ndarray, "height width"]:
    """Give how far mud hides every pixel, in [0, 1]."""
    layer = gaussian_filter((liquid > 0).astype(np.float64), blur, mode="nearest")
    return np.where(layer < _LEAST_MUD, 0.0, layer)


def _water(liquid: Float64[np.ndarray, "height width"]) -> Float64[np.ndarray, "height width"]:
    """Give how brightly drops shine, in [0, 1], by the distance from their edges."""
    edges = canny(liquid, 0, 50 / 255, 150 / 255)
    reach = np.full(liquid.shape, _REACH)
    distance = np.minimum(distance_transform_edt(~edges), reach) if edges.any() else reach
    levels = np.floor(uniform_filter(distance, 3, mode="mirror"))
    _, level_of_pixel, counts = np.unique(levels, return_inverse=True, return_counts=True)
    ranks = counts.cumsum() - counts[0]
    equalised = 255 * ranks[level_of_pixel] / max(1, ranks[-1])
    relief = correlate(equalised, _RELIEF, mode="mirror").clip(0, 255)
    film: np.ndarray = liquid * uniform_filter(relief, 3, mode="mirror")
    return film / (film.max() or 1.0)
