import os
import signal
from collections.abc import Iterator

import pytest
from ray.util.placement_group import placement_group, remove_placement_group

from distmerge.actors import Load, Pool, answer, device_name
from distmerge.coordinator import Source
from distmerge.errors import CapacityError, WorkerDiedError, WorkerTimeoutError
from distmerge.methods.contract import PRETRAINED
from distmerge.spec import ImageCounts, ModelFiles, RayConfig

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]
CONFIG = RayConfig(timeout_s=60.0)
TWO = CONFIG.model_copy(update={"actors": 2})


@pytest.fixture(scope="module")
def source(world: ModelFiles) -> Source:
    cache = world.base.parent / "images"
    return Source(world, ImageCounts(), transductive=False, cache=cache)


@pytest.fixture(scope="module")
def pool(source: Source, ray_local: None) -> Iterator[Pool]:
    with Pool(source, Load(["alpha", "beta", PRETRAINED]), TWO) as pool:
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

    config = RayConfig(timeout_s=1.0, actor_cpus=4.0)
    others = placement_group([{"CPU": 1.0}])
    ray.get(others.ready(), timeout=30)
    free = ray.available_resources().get("CPU")
    said = r"no task actor was granted in 1 s .*: 1 actors of {'CPU': 4.0}; free now"
    with pytest.raises(CapacityError, match=said), Pool(source, Load(["alpha"]), config):
        pass
    assert ray.available_resources().get("CPU") == free
    remove_placement_group(others)


def test_a_cluster_that_can_never_hold_an_actor_is_refused_at_once(source: Source) -> None:
    config = RayConfig(actor_cpus=1000.0)
    with pytest.raises(CapacityError, match="0 fit"), Pool(source, Load(["alpha"]), config):
        pass


def test_an_actor_that_cannot_start_says_why(source: Source) -> None:
    broken = source.files.model_copy(update={"tower": source.files.tower.with_name("absent.json")})
    with (
        pytest.raises(WorkerDiedError, match=r"alpha.*: the actor is lost: .*absent\.json"),
        Pool(Source(broken, ImageCounts(), transductive=False), Load(["alpha"]), CONFIG),
    ):
        pass


@pytest.mark.parametrize(
    ("config", "gpus", "device"),
    [
        (RayConfig(), 0.0, "cpu"),
        (RayConfig(), None, "cpu"),
        (RayConfig(), 0.25, "cuda:0"),
        (RayConfig(), 1.0, "cuda:0"),
        (RayConfig(device="cpu"), 1.0, "cpu"),
    ],
)
def test_a_granted_gpu_is_used_unless_it_is_only_counted(
    config: RayConfig, gpus: float | None, device: str
) -> None:
    assert device_name(config, gpus) == device
