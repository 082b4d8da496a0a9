import pytest

from distmerge.sweep.estimate import forward_bytes, training_bytes
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
