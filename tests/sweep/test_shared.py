import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
import torch

from distmerge.actors import Member, RayModels, cluster
from distmerge.errors import CapacityError
from distmerge.run import references
from distmerge.spec import ModelFiles, RayConfig
from distmerge.sweep.prepare import Prepared, prepare
from distmerge.sweep.progress.steps import Standing, Told
from distmerge.sweep.shared import Shared, open_session, shared_facts
from distmerge.sweep.trial import Done
from tests.coordinator.sessions import session_of
from tests.sweep.studies import study_of

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]


def silent(_line: str) -> None:
    """Report nothing."""


def prepared_of(world: ModelFiles, storage: Path, **ray: object) -> Prepared:
    return prepare(study_of(world, storage, ray={"timeout_s": 60.0, **ray}), silent)


@pytest.fixture(scope="module")
def shared(
    world: ModelFiles, tmp_path_factory: pytest.TempPathFactory, ray_local: None
) -> Iterator[Shared]:
    prepared = prepared_of(world, tmp_path_factory.mktemp("results"), actors=2)
    with cluster(), shared_facts(prepared, silent) as (shared, _):
        yield shared


def test_a_session_over_what_is_shared_equals_one_of_this_process(
    shared: Shared, world: ModelFiles
) -> None:
    there, here = open_session(shared, "cpu"), session_of(world)
    assert torch.equal(there.vectors.base, here.vectors.base)
    assert torch.equal(there.vectors.vectors, here.vectors.vectors)
    assert there.digests == here.digests
    facts = there.models.facts("gamma", "gamma", "report")
    own = here.models.facts("gamma", "gamma", "report")
    assert torch.allclose(facts.logits, own.logits, atol=1e-6)


def test_task_vectors_are_mapped_and_not_copied(shared: Shared) -> None:
    first, second = open_session(shared, "cpu"), open_session(shared, "cpu")
    assert first.vectors.vectors.data_ptr() == second.vectors.vectors.data_ptr()


def test_the_actors_are_gone_unless_they_compute_gradients(shared: Shared) -> None:
    assert shared.members == ()
    assert ray.available_resources()["CPU"] == 4


def test_what_is_recorded_is_stored(shared: Shared, world: ModelFiles, tmp_path: Path) -> None:
    session = open_session(shared, "cpu")
    (pretrained, _) = references(session)
    shared.recorder.append(Done(pretrained, None))
    prepared = prepared_of(world, Path(shared.study.storage))
    assert set(prepared.store.records("tiny")["method"]) == {"pretrained"}


def test_a_cluster_that_is_too_small_is_refused_before_anything_starts(
    world: ModelFiles, tmp_path: Path
) -> None:
    prepared = prepared_of(world, tmp_path, actors=50)
    with (
        pytest.raises(CapacityError, match="50 actors"),
        shared_facts(prepared, silent),
    ):
        pass


def test_a_study_keeps_its_layout(shared: Shared) -> None:
    none = {"actor_gpus": 0.0, "trial_gpus": 0.0}  # as in the cluster of these tests
    assert shared.config == RayConfig(timeout_s=60.0, actors=2, **none)


WRITING_S = 20.0
NEWS = Told("r", "adamerging", Standing("coefficients", 1, 2), ())


def write(_recorder: Any) -> None:
    """Take as long as a storage that does not answer."""
    time.sleep(WRITING_S)


def test_a_trial_that_starts_late_knows_the_actors_of_now(shared: Shared) -> None:
    before, now = Member("lost", ("alpha",)), Member("there", ("alpha",))
    shared.recorder.show([now])
    models = open_session(replace(shared, members=(before,)), "cpu").models
    assert isinstance(models, RayModels)
    assert models.roster.members == (now,)


def test_a_request_to_stop_does_not_wait_behind_a_write(shared: Shared) -> None:
    assert not shared.recorder.tell(NEWS)
    writing = shared.recorder.actor.__ray_call__.remote(write)
    start = time.monotonic()
    shared.recorder.halt()
    while not shared.recorder.tell(NEWS):
        assert time.monotonic() - start < WRITING_S
    assert time.monotonic() - start < WRITING_S
    assert ray.wait([writing], timeout=0)[0] == []
    ray.cancel(writing)


def test_a_recorder_that_is_started_again_stops_when_it_is_told_again(shared: Shared) -> None:
    ray.kill(shared.recorder.actor, no_restart=False)
    end = time.monotonic() + 60
    while not shared.recorder.tell(NEWS):
        shared.recorder.halt()
        assert time.monotonic() < end
