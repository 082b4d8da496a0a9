from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distmerge.errors import ConfigError
from distmerge.tasks.corrupted import LEVELS, Corruption, corrupted_images, corruption_of
from distmerge.tasks.corruptions import CORRUPTIONS, CorruptionName, corrupted
from distmerge.tasks.samples import Samples

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3), dtype=np.uint8)
IMAGES = Samples(PIXELS, "source")


@pytest.mark.parametrize(("level", "severity"), [("L1", 1), ("L2", 2), ("L3", 3)])
def test_a_level_is_a_severity(level: str, severity: int) -> None:
    drawn = {corruption_of(0, "alpha", index, level).severity for index in range(100)}
    assert drawn == {severity}


@given(st.integers(0, 2**32), st.text(max_size=8), st.integers(0, 10_000))
def test_levels_differ_in_nothing_but_the_severity(seed: int, task: str, index: int) -> None:
    assert len({corruption_of(seed, task, index, level).name for level in LEVELS}) == 1


def test_all_seven_corruptions_come_about_equally_often() -> None:
    counts = Counter(corruption_of(0, "alpha", index, "L1").name for index in range(700))
    assert set(counts) == set(CORRUPTIONS)
    five_deviations = 5 * np.sqrt(700 * 1 / 7 * 6 / 7)
    assert max(abs(count - 100) for count in counts.values()) < five_deviations


def test_seeds_and_tasks_draw_independently() -> None:
    draws = [
        [corruption_of(seed, task, index, "L1").name for index in range(700)]
        for seed, task in ((0, "alpha"), (0, "beta"), (1, "alpha"))
    ]
    pairs = [(draws[0], draws[1]), (draws[0], draws[2]), (draws[1], draws[2])]
    equal = [sum(a == b for a, b in zip(*pair, strict=True)) for pair in pairs]
    assert max(abs(count - 100) for count in equal) < 5 * np.sqrt(700 * 1 / 7 * 6 / 7)


def test_a_draw_stays_the_same_between_versions() -> None:
    drawn = [corruption_of(0, "alpha", index, "L2") for index in range(4)]
    names: list[CorruptionName] = ["impulse_noise", "pixelate", "spatter", "gaussian_noise"]
    assert drawn == [Corruption(name, 2) for name in names]


def test_an_image_does_not_depend_on_those_beside_it() -> None:
    whole = corrupted_images(IMAGES, seed=0, task="alpha", level="L3")
    part = corrupted_images(Samples(PIXELS[:5], "part"), seed=0, task="alpha", level="L3")
    others = np.concatenate([255 - PIXELS[:7], PIXELS[7:]])
    mixed = corrupted_images(Samples(others, "mixed"), seed=0, task="alpha", level="L3")
    assert np.array_equal(part.array, whole.array[:5])
    assert np.array_equal(mixed.array[7:], whole.array[7:])


def test_an_image_gets_the_corruption_of_its_index() -> None:
    assert corruption_of(0, "alpha", 13, "L2") == Corruption("jpeg_compression", 2)
    expected = corrupted(PIXELS[13], "jpeg_compression", 2, np.random.default_rng())
    found = corrupted_images(IMAGES, seed=0, task="alpha", level="L2").array[13]
    assert np.array_equal(found, expected)


def test_noise_has_the_same_pattern_at_every_level() -> None:
    plain = Samples(np.full_like(PIXELS, 128), "plain")
    names = [corruption_of(0, "alpha", i, "L1").name for i in range(24)]
    index = names.index("gaussian_noise")
    first, third = (
        corrupted_images(plain, seed=0, task="alpha", level=level).array[index].astype(float) - 128
        for level in ("L1", "L3")
    )
    assert np.abs(third - 2 * first).max() <= 1.5  # deviations 0.04 and 0.08, rounded


def test_the_same_address_gives_the_same_images() -> None:
    one, again = (corrupted_images(IMAGES, seed=3, task="alpha", level="L1") for _ in range(2))
    assert np.array_equal(one.array, again.array)
    assert one.digest == again.digest


@pytest.mark.parametrize(("seed", "task"), [(1, "alpha"), (0, "beta")])
def test_another_seed_or_task_gives_other_images(seed: int, task: str) -> None:
    one = corrupted_images(IMAGES, seed=0, task="alpha", level="L1")
    other = corrupted_images(IMAGES, seed=seed, task=task, level="L1")
    assert not np.array_equal(one.array, other.array)


def test_digests_tell_sources_seeds_tasks_and_levels_apart() -> None:
    addresses = [(0, "alpha", "L1"), (0, "alpha", "L2"), (1, "alpha", "L1"), (0, "beta", "L1")]
    digests = {
        corrupted_images(Samples(PIXELS[:2], source), seed=seed, task=task, level=level).digest
        for source in ("source", "other")
        for seed, task, level in addresses
    }
    assert len(digests) == 8


def test_corrupted_images_are_read_only_and_leave_their_source_alone() -> None:
    before = PIXELS.copy()
    result = corrupted_images(IMAGES, seed=0, task="alpha", level="L3")
    assert not result.array.flags.writeable
    assert np.array_equal(PIXELS, before)


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ConfigError, match="level: got 'L4', expected one of L1, L2, L3"):
        corruption_of(0, "alpha", 0, "L4")
    with pytest.raises(ConfigError, match="level: got 'clean', expected one of L1, L2, L3"):
        corrupted_images(IMAGES, seed=0, task="alpha", level="clean")
