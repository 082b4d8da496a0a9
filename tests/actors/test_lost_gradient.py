"""An actor that is lost in the middle of an adaptation changes no coefficient."""

import os
import signal
from collections.abc import Iterator

import pytest
import torch

from distmerge.actors import (
    FeatureBank,
    Load,
    Pool,
    RayModels,
    Roster,
    stored_features,
)
from distmerge.coordinator import FeatureStore, Progress
from distmerge.run import Session
from distmerge.spec import ModelFiles, RayConfig
from tests.coordinator.sessions import config_of, merged_by, session_of, source_of

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]
CONFIG = RayConfig(timeout_s=60.0, actors=2)
ADAPT = {"adamerging.steps": 6, "adamerging.batch_size": 4, "adamerging.lr": 1e-2}


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world)


@pytest.fixture(scope="module")
def pool(session: Session, world: ModelFiles, ray_local: None) -> Iterator[Pool]:
    import ray

    arrays = {
        "base": ray.put(session.vectors.base.numpy()),
        "vectors": ray.put(session.vectors.vectors.numpy()),
    }
    tasks = session.vectors.tasks
    with Pool(source_of(world), Load(tasks), CONFIG, arrays=arrays) as pool:
        yield pool


def test_an_actor_killed_between_steps_changes_no_coefficient(
    pool: Pool, session: Session, world: ModelFiles
) -> None:
    store = FeatureStore(world.base.parent / "features")  # of this session
    bank = FeatureBank(stored_features(session.digests.keys, store), 60.0)
    models = RayModels(bank, Roster(tuple(pool.members)), session.vectors.tasks, 60.0)
    victim = pool.infos()[1].pid

    def kill(progress: Progress) -> None:
        if progress.step == 3:
            os.kill(victim, signal.SIGKILL)

    config = config_of(ADAPT, "adamerging")
    plain = merged_by(session, config, models=models).model.coefficients
    killed = merged_by(session, config, models=models, observe=kill).model.coefficients
    assert pool.infos()[1].pid != victim
    assert torch.equal(killed, plain)
