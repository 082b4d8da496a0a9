from pathlib import PurePath

import pytest

from distmerge.zoo.images import Digits, Glyphs, Tiles
from distmerge.zoo.packages import Wheel
from distmerge.zoo.recipe import TaskRecipe
from distmerge.zoo.tiny import TINY


@pytest.mark.parametrize("task", TINY.tasks, ids=lambda task: task.name)
def test_every_task_has_enough_images_for_the_quickstart(task: TaskRecipe) -> None:
    counts = task.counts
    assert counts["train"] <= 1300
    assert (counts["adapt"] >= 250, counts["select"], counts["report"]) == (True, 120, 400)


@pytest.mark.parametrize("wheel", TINY.wheels, ids=lambda wheel: wheel.package)
def test_every_wheel_is_pinned_by_version_and_hash(wheel: Wheel) -> None:
    assert f"-{wheel.version}-py3-none-any.whl" in wheel.filename
    assert len(bytes.fromhex(wheel.sha256)) == 32
    assert PurePath(wheel.filename).name == wheel.filename


@pytest.mark.parametrize("name", ["letters", "greek"])
def test_no_font_face_is_on_two_sides(name: str) -> None:
    images = next(task.images for task in TINY.tasks if task.name == name)
    assert isinstance(images, Glyphs)
    faces = [face for side in images.faces.values() for face in side]
    assert len(faces) == len(set(faces))


def test_the_rows_of_the_digits_do_not_overlap() -> None:
    images, counts = TINY.tasks[0].images, TINY.tasks[0].counts
    assert isinstance(images, Digits)
    rows = [set(range(first, first + counts[role])) for role, first in images.first_row.items()]
    assert len(set().union(*rows)) == sum(map(len, rows))
    assert max(set().union(*rows)) < 1797


def test_the_blocks_of_the_map_are_shared_out_completely() -> None:
    images = TINY.tasks[1].images
    assert isinstance(images, Tiles)
    assert sum(images.shares.values()) == pytest.approx(1.0)


def test_positions_fit_the_patches() -> None:
    assert TINY.tower.image_size % TINY.tower.patch_size == 0
    assert TINY.tower.preprocess.size == TINY.tower.image_size
