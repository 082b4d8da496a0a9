import numpy as np
from sklearn.datasets import load_digits

from distmerge.zoo.digits import digit_pictures
from distmerge.zoo.images import ROLES, Digits, Role

RECIPE = Digits(first_row={"train": 0, "adapt": 20, "select": 25, "report": 30})
COUNTS: dict[Role, int] = {"train": 20, "adapt": 5, "select": 5, "report": 10}


def test_a_role_holds_its_rows_in_another_order() -> None:
    pictures = digit_pictures(RECIPE, COUNTS, side_pixels=8, seed=0)
    scans = (load_digits().images[20:25] / 16 * 255).astype(np.uint8)
    given = {image[..., 0].tobytes() for image in pictures["adapt"].pixels}
    assert given == {scan.tobytes() for scan in scans}


def test_labels_follow_their_images() -> None:
    pictures = digit_pictures(RECIPE, COUNTS, side_pixels=8, seed=0)["report"]
    digits = load_digits()
    expected = {
        (scan / 16 * 255).astype(np.uint8).tobytes(): int(label)
        for scan, label in zip(digits.images, digits.target, strict=True)
    }
    found = [expected[image[..., 0].tobytes()] for image in pictures.pixels]
    assert found == pictures.labels.tolist()


def test_every_role_is_enlarged_to_rgb() -> None:
    pictures = digit_pictures(RECIPE, COUNTS, side_pixels=32, seed=0)
    assert [pictures[role].pixels.shape for role in ROLES] == [
        (COUNTS[role], 32, 32, 3) for role in ROLES
    ]
