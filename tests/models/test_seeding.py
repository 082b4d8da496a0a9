import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from distmerge.models import address_seed, initialised


def draw() -> Tensor:
    return torch.rand(4)


def test_a_seed_stays_the_same_between_versions() -> None:
    assert address_seed(0, "alpha", "surgery") == 17876930481391618


@given(st.integers(0), st.text(), st.text())
def test_a_seed_fits_torch_and_tells_addresses_apart(seed: int, task: str, layer: str) -> None:
    value = address_seed(seed, task, layer)
    assert 0 <= value < 2**63
    assert value != address_seed(seed + 1, task, layer)
    assert value != address_seed(seed, task, layer + "x")


def test_the_boundary_between_two_parts_of_an_address_counts() -> None:
    assert address_seed("ab", "c") != address_seed("a", "bc")


def test_one_address_gives_the_same_numbers_whatever_was_drawn_before() -> None:
    first = initialised(draw, 0, "alpha", "head")
    draw()
    assert torch.equal(initialised(draw, 0, "alpha", "head"), first)
    assert not torch.equal(initialised(draw, 0, "beta", "head"), first)


def test_the_global_generator_is_left_as_it_was() -> None:
    before = torch.get_rng_state()
    initialised(draw, 0, "alpha")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_global_generator_is_left_as_it_was_when_building_fails() -> None:
    def fail() -> None:
        draw()
        raise ArithmeticError("on purpose")

    before = torch.get_rng_state()
    with pytest.raises(ArithmeticError, match="on purpose"):
        initialised(fail, 0, "alpha")
    assert torch.equal(torch.get_rng_state(), before)
