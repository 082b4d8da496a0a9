import pytest

from distmerge.models import forward_bytes, tasks_per_forward, training_bytes
from tests.towers import RESNET
from tests.world import TOWER


@pytest.mark.parametrize("estimate", [forward_bytes, training_bytes])
def test_activations_grow_with_the_images(estimate) -> None:  # type: ignore[no-untyped-def]
    assert estimate(TOWER, 8) == 8 * estimate(TOWER, 1) > 0


def test_training_keeps_every_block() -> None:
    deeper = TOWER.model_copy(update={"layers": 2 * TOWER.layers})
    assert training_bytes(deeper, 4) == 2 * training_bytes(TOWER, 4)
    assert forward_bytes(deeper, 4) < 2 * forward_bytes(TOWER, 4)


@pytest.mark.parametrize("estimate", [forward_bytes, training_bytes])
def test_activations_of_other_towers_are_not_known(estimate) -> None:  # type: ignore[no-untyped-def]
    assert estimate(RESNET, 8) == 0


@pytest.mark.parametrize(("tasks", "room", "shared"), [(8, 8, 8), (8, 5, 4), (8, 3, 3), (8, 0, 1)])
def test_tasks_share_forwards_of_about_equal_size(tasks: int, room: int, shared: int) -> None:
    images = 2**20 // training_bytes(TOWER, 1) + 1  # more than one MiB
    mb = room * training_bytes(TOWER, images) // 2**20 + (room > 0)
    assert tasks_per_forward(TOWER, tasks, images, mb) == shared


def test_tasks_of_a_tower_that_is_not_known_share_nothing() -> None:
    assert tasks_per_forward(RESNET, 8, 1, 1024) == 1
