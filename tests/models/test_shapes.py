import pytest

from distmerge.models import Tower, tower_shapes
from distmerge.models.shapes import num_tokens
from tests.world import TOWER


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"projection": False, "output_dim": 16},
        {"ls_init_value": 1e-5},
        {"no_ln_pre": True},
        {"mlp_ratio": 2.5, "layers": 3},
        {"patch_size": 5},
    ],
)
def test_the_formula_gives_the_tensors_of_the_tower_in_its_order(
    changes: dict[str, object],
) -> None:
    config = TOWER.model_copy(update=changes)
    built = {name: tuple(shape) for name, shape in Tower(config).shapes.items()}
    assert list(tower_shapes(config).items()) == list(built.items())


def test_the_tokens_of_an_image_are_its_patches_and_one_of_its_class() -> None:
    assert num_tokens(TOWER) == 2 * 2 + 1
