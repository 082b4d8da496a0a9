import numpy as np
import pytest

from distmerge.errors import ZooError
from distmerge.zoo.images import Side
from distmerge.zoo.pictures import Pictures, PictureSource, collected


class Numbers:
    """Images of one value; ``variants`` different ones per class, and some draws show nothing."""

    def __init__(self, num_classes: int, variants: int) -> None:
        self.classes = tuple(f"number {label}" for label in range(num_classes))
        self.variants = variants

    def draw(self, side: Side, label: int, generator: np.random.Generator) -> np.ndarray | None:
        variant = int(generator.integers(self.variants))
        blank = generator.random() < 0.2
        return None if blank else np.full((2, 2, 3), 20 * label + variant, dtype=np.uint8)


def draws(count: int, *, variants: int = 20, seed: int = 0) -> Pictures:
    generator = np.random.default_rng(seed)
    return collected(Numbers(4, variants), "train", count, generator=generator, seen=set())


def test_the_toy_is_a_picture_source() -> None:
    assert isinstance(Numbers(2, 2), PictureSource)


def test_every_round_holds_each_class_once() -> None:
    labels = draws(12).labels.reshape(3, 4)
    assert np.sort(labels, axis=1).tolist() == [[0, 1, 2, 3]] * 3


def test_images_belong_to_their_labels() -> None:
    pictures = draws(10)
    assert (pictures.pixels[:, 0, 0, 0] // 20).tolist() == pictures.labels.tolist()


def test_no_image_is_given_twice() -> None:
    assert len({image.tobytes() for image in draws(60).pixels}) == 60


def test_images_seen_in_another_role_are_left_out() -> None:
    seen: set[bytes] = set()
    generator = np.random.default_rng(0)
    first, second = (
        collected(Numbers(4, 20), "train", 20, generator=generator, seen=seen) for _ in range(2)
    )
    contents = [{image.tobytes() for image in part.pixels} for part in (first, second)]
    assert contents[0].isdisjoint(contents[1])


def test_the_same_generator_gives_the_same_images() -> None:
    assert np.array_equal(draws(9).pixels, draws(9).pixels)


def test_a_class_without_new_images_is_named() -> None:
    with pytest.raises(ZooError, match=r"class number \d: no new image for train"):
        draws(12, variants=2)
