from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from distmerge.coordinator import (
    Digests,
    load_material,
    source_digests,
    with_digests,
)
from distmerge.errors import CheckpointError
from distmerge.methods.contract import PRETRAINED
from distmerge.models import load_head, load_state, save_head, save_state
from distmerge.run import Session
from distmerge.spec import ModelFiles
from tests.coordinator.sessions import session_of, source_of
from tests.world import TOWER, arrays_of


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world)


def digests_of(files: ModelFiles) -> Digests:
    source = source_of(files)
    return source_digests(source, load_material(source))


def change_checkpoint(files: ModelFiles) -> None:
    _shift(files.tasks[0].checkpoint)


def change_base(files: ModelFiles) -> None:
    _shift(files.base)


def _shift(path: Path) -> None:
    state = load_state(path)
    save_state(path, {**state, "proj": state["proj"] + 1e-6})


def change_head(files: ModelFiles) -> None:
    head = load_head(files.tasks[0].head_file, num_classes=3, feature_dim=8)
    head.bias[0] += 1e-6
    save_head(files.tasks[0].head_file, head)


def change_images(files: ModelFiles) -> None:
    path = arrays_of(files.tasks[0]) / "select.images.npy"
    pixels = np.load(path)
    pixels[0, 0, 0, 0] ^= 1
    np.save(path, pixels)


def change_tower(files: ModelFiles) -> None:
    files.tower.write_text(TOWER.model_copy(update={"norm_eps": 1e-6}).model_dump_json())


TASKS = ("alpha", "beta", "gamma")


OWN = {(task, task, role) for task in TASKS for role in ("adapt", "select", "report")}


OF_THE_BASE = {(PRETRAINED, task, role) for task in TASKS for role in ("adapt", "select", "report")}


OF_ALPHA = {place for place in OWN | OF_THE_BASE if place[1] == "alpha"}


def test_digests_do_not_depend_on_where_the_files_lie(session: Session, copied: ModelFiles) -> None:
    assert digests_of(copied) == session.digests


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (change_checkpoint, OWN & OF_ALPHA),
        (change_base, OF_THE_BASE),
        (change_head, OF_ALPHA),
        (change_images, {place for place in OF_ALPHA if place[2] == "select"}),
        (change_tower, OWN | OF_THE_BASE),
    ],
    ids=["checkpoint", "base", "head", "images", "tower"],
)
def test_a_changed_file_changes_the_identity_and_its_own_facts_alone(
    session: Session,
    copied: ModelFiles,
    change: Callable[[ModelFiles], None],
    facts: set[tuple[str, str, str]],
) -> None:
    change(copied)
    digests = digests_of(copied)
    before = {key[:3]: key.digest for key in session.digests.keys}
    after = {key[:3]: key.digest for key in digests.keys}
    assert {place for place in before if before[place] != after[place]} == facts
    assert digests.identity() != session.digests.identity()


def test_another_order_of_the_tasks_is_another_identity_of_the_same_facts(
    session: Session, world: ModelFiles
) -> None:
    # A coefficient table has a row per task, and sums over tasks are rounded in their order.
    tasks = tuple(reversed(world.tasks))
    other = session_of(world.model_copy(update={"tasks": tasks})).digests
    assert other.identity() != session.digests.identity()
    assert set(other.keys) == set(session.digests.keys)


def test_a_missing_file_is_named(session: Session, world: ModelFiles) -> None:
    files = world.model_copy(update={"base": Path("nowhere.safetensors")})
    with pytest.raises(CheckpointError, match=r"nowhere\.safetensors"):
        source_digests(source_of(files), session.material)


def test_files_that_change_while_they_are_read_have_no_digests(copied: ModelFiles) -> None:
    source = with_digests(source_of(copied))
    material = load_material(source)
    head = copied.tasks[1].head_file
    head.write_bytes(head.read_bytes() + b" ")
    with pytest.raises(CheckpointError, match="not those that the driver read"):
        source_digests(source, material)
