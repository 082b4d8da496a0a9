"""Altered copies of adapt images: which they are depends on their address alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from distmerge.methods.bd_merging.model import router_reader
from distmerge.methods.bd_merging.pool import adapt_pool
from distmerge.methods.bd_merging.views import altered, drawn_views, view_tokens
from distmerge.run import Session
from distmerge.spec import ModelFiles
from distmerge.tasks import Samples
from tests.coordinator.sessions import session_of
from tests.methods.bd import base_of, scope_of


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world)


@pytest.fixture(scope="module")
def images(session: Session) -> Samples:
    return session.material.task("alpha").adapt


def test_copies_have_the_form_of_the_images_and_differ_from_most(images: Samples) -> None:
    copies = altered(images, 0, "alpha", 0)
    assert copies.array.shape == images.array.shape
    assert copies.array.dtype == np.uint8
    changed = (copies.array != images.array).reshape(len(images), -1).any(axis=1)
    assert changed.mean() > 0.9


def test_a_copy_does_not_depend_on_the_images_around_it(images: Samples) -> None:
    few = replace(images, array=images.array[:3])
    found, whole = altered(few, 0, "alpha", 1), altered(images, 0, "alpha", 1)
    assert np.array_equal(found.array, whole.array[:3])


@pytest.mark.parametrize(
    "address", [(1, "alpha", 0), (0, "beta", 0), (0, "alpha", 1)], ids=["seed", "task", "view"]
)
def test_another_address_gives_another_copy(images: Samples, address: tuple[int, str, int]) -> None:
    first = altered(images, 0, "alpha", 0)
    assert altered(images, *address).digest != first.digest


def test_making_copies_leaves_the_global_generator_alone(images: Samples) -> None:
    before = torch.random.get_rng_state()
    altered(images, 0, "alpha", 0)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_images_themselves_are_the_first_view(session: Session) -> None:
    model = base_of(session)
    pool = adapt_pool(model, scope_of(session), "averaged")
    read = router_reader(model.tower, session.vectors, "averaged")
    views = view_tokens(pool, read, 2, 0)
    assert views.shape == (3, *pool.tokens.shape)
    assert torch.equal(views[0], pool.tokens)
    assert not torch.equal(views[1], views[2])


def test_every_view_is_drawn_as_often() -> None:
    shares = torch.bincount(drawn_views(3, ("alpha",), 3000, 0, 7), minlength=3) / 3000
    torch.testing.assert_close(shares, torch.full((3,), 1 / 3), rtol=0, atol=0.05)


def test_a_draw_depends_on_step_and_task_but_not_on_the_tasks_around_it() -> None:
    drawn = drawn_views(3, ("alpha", "beta"), 50, 0, 7)
    assert torch.equal(drawn[50:], drawn_views(3, ("beta",), 50, 0, 7))
    assert not torch.equal(drawn[:50], drawn[50:])
    assert not torch.equal(drawn[:50], drawn_views(3, ("alpha",), 50, 0, 8))
