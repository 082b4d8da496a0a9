from itertools import combinations

import numpy as np
import pytest

from distmerge.zoo.images import Role
from distmerge.zoo.material import task_material
from distmerge.zoo.recipe import TaskRecipe
from distmerge.zoo.tiny import TINY

FEW: dict[Role, int] = {"train": 60, "adapt": 60, "select": 60, "report": 60}
WITHOUT_WHEELS = [
    task.model_copy(update={"counts": FEW}) for task in TINY.tasks if task.name != "satellite"
]


@pytest.mark.parametrize("task", WITHOUT_WHEELS, ids=lambda task: task.name)
def test_no_image_is_in_two_roles(task: TaskRecipe) -> None:
    roles = task_material(TINY, task, {}).roles
    contents = [{image.tobytes() for image in part.pixels} for part in roles.values()]
    assert [len(one & other) for one, other in combinations(contents, 2)] == [0] * 6


@pytest.mark.parametrize("task", WITHOUT_WHEELS, ids=lambda task: task.name)
def test_every_role_has_its_count_of_images_of_known_classes(task: TaskRecipe) -> None:
    material = task_material(TINY, task, {})
    assert [len(part.labels) for part in material.roles.values()] == [60] * 4
    assert max(part.labels.max() for part in material.roles.values()) < len(material.classes)


def test_the_same_recipe_gives_the_same_images() -> None:
    one, other = (task_material(TINY, WITHOUT_WHEELS[2], {}).roles["report"] for _ in range(2))
    assert np.array_equal(one.pixels, other.pixels)


def test_another_seed_gives_other_images() -> None:
    reseeded = TINY.model_copy(update={"seed": 1})
    one, other = (
        task_material(recipe, WITHOUT_WHEELS[2], {}).roles["report"] for recipe in (TINY, reseeded)
    )
    assert not np.array_equal(one.pixels, other.pixels)
