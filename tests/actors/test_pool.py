import os
import signal
from collections.abc import Iterator

import pytest

from distmerge.actors import Pool, answer
from distmerge.coordinator import Source
from distmerge.errors import CapacityError, WorkerDiedError, WorkerTimeoutError
from distmerge.methods.contract import PRETRAINED
from distmerge.spec import ImageCounts, ModelFiles, RayConfig

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]
CONFIG = RayConfig(timeout_s=60.0)


@pytest.fixture(scope="module")
def source(world: ModelFiles) -> Source:
    cache = world.base.parent / "images"
    return Source(world, ImageCounts(), transductive=False, cache=cache)


@pytest.fixture(scope="module")
def pool(source: Source, ray_local: None) -> Iterator[Pool]:
    with Pool(source, ["alpha", "beta", PRETRAINED], CONFIG, actors=2) as pool:
        yield pool


def test_every_actor_is_a_process_that_pins_its_models(pool: Pool) -> None:
    infos = pool.infos()
    assert [info.models for info in infos] == [("alpha", PRETRAINED), ("beta",)]
    assert len({info.pid for info in infos} | {os.getpid()}) == 3
    assert {info.device for info in infos} == {"cpu"}


def test_an_actor_that_does_not_answer_is_named(pool: Pool) -> None:
    pid = pool.infos()[1].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(WorkerTimeoutError, match=r"info of beta: no answer in 0.5 s"):
            answer(pool.members[1].actor.info.remote(), 0.5, "info of beta")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert pool.infos()[1].pid == pid


def test_a_killed_actor_comes_back_with_its_models(pool: Pool) -> None:
    before = pool.infos()[1]
    os.kill(before.pid, signal.SIGKILL)
    after = pool.infos()[1]
    assert after.pid != before.pid
    assert after.models == before.models


def test_a_group_that_is_not_granted_is_an_error_and_leaves_nothing(source: Source) -> None:
    import ray

    config = RayConfig(timeout_s=1.0, actor_cpus=1000.0)
    free = ray.available_resources().get("CPU")
    with (
        pytest.raises(CapacityError, match=r"1 actors of .*1000.* were not granted in 1 s"),
        Pool(source, ["alpha"], config, actors=1),
    ):
        pass
    assert ray.available_resources().get("CPU") == free


def test_an_actor_that_cannot_start_says_why(source: Source) -> None:
    broken = source.files.model_copy(update={"tower": source.files.tower.with_name("absent.json")})
    with (
        pytest.raises(WorkerDiedError, match=r"alpha.*: the actor is lost: .*absent\.json"),
        Pool(Source(broken, ImageCounts(), transductive=False), ["alpha"], CONFIG, actors=1),
    ):
        pass
