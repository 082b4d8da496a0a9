import pytest

from distmerge.zoo.mini import MINI, MINI12
from distmerge.zoo.recipe import Recipe, TaskRecipe
from distmerge.zoo.tiny import TINY


def test_both_zoos_have_the_eight_tasks() -> None:
    names = "mnist fashion letters kana flags emoji satellite textures".split()  # noqa: SIM905
    assert [[task.name for task in recipe.tasks] for recipe in (MINI, MINI12)] == [names] * 2


def test_the_zoos_differ_by_their_layers() -> None:
    differences = {
        field for field in Recipe.model_fields if getattr(MINI, field) != getattr(MINI12, field)
    }
    assert differences == {"name", "tower", "backbone"}
    assert (MINI.tower.layers, MINI12.tower.layers) == (6, 12)
    assert MINI.tower == MINI12.tower.model_copy(update={"layers": 6})


@pytest.mark.parametrize("task", MINI.tasks, ids=lambda task: task.name)
def test_every_task_has_the_same_number_of_images(task: TaskRecipe) -> None:
    assert task.counts == {"train": 3000, "adapt": 400, "select": 200, "report": 500}


def test_a_recipe_read_back_from_json_has_the_same_digest() -> None:
    assert Recipe.model_validate_json(MINI.model_dump_json()).digest == MINI.digest


def test_no_package_is_fetched_twice() -> None:
    names = [package.package for package in MINI.packages]
    assert len(names) == len(set(names))


def test_the_wheels_are_those_of_the_tiny_zoo() -> None:
    assert MINI.packages[: len(TINY.wheels)] == TINY.wheels
