import os
import signal
import time

import pytest

from distmerge.actors import Load, Pool, restarted
from distmerge.spec import ModelFiles, RayConfig
from tests.coordinator.sessions import source_of

CONFIG = RayConfig(timeout_s=60.0, actors=2)
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.usefixtures("ray_local")]


def test_an_actor_that_was_killed_and_came_back_is_told(world: ModelFiles) -> None:
    with Pool(source_of(world), Load(["alpha", "beta"]), CONFIG) as pool:
        infos = pool.infos()
        assert restarted(pool.members, infos) == []
        os.kill(infos[0].pid, signal.SIGKILL)
        end = time.monotonic() + 60
        while not (found := restarted(pool.members, infos)):
            assert time.monotonic() < end
        assert [info.models for info in found] == [infos[0].models]
