"""Fixtures that every test may use; the environment is set before anything reads it."""

import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import settings

from distmerge.spec import ModelFiles
from tests.world import build_world

if TYPE_CHECKING:
    from tests.sweep.exports import Exports

# Ray reads these when it is imported; no test module imports it before this file is run.
os.environ.update(
    RAY_USAGE_STATS_ENABLED="0",
    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
    RAY_AUTH_MODE="disabled",  # the cluster of the tests listens on loopback only
)
torch.set_num_threads(1)  # two busy cores: more threads make a small step slower
settings.register_profile("distmerge", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("distmerge")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty cache, so that no test reads or writes the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTMERGE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """Three small fine-tuned models with their heads and data."""
    return build_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def exports(world: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> "Exports":
    """Every run of one sweep as a folder, a run of every kind of model."""
    from tests.sweep.exports import exported

    return exported(world, tmp_path_factory.mktemp("exports"))


@pytest.fixture(scope="session")
def ray_local() -> Iterator[None]:
    """One Ray cluster with four logical cores, inside this machine, for the whole session."""
    import ray

    ray.init(
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=200_000_000,
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """One SeaweedFS on loopback for the session, started by the first test that needs it.

    From then on this process may write it.
    """
    from tests.storage.clients import signed_in
    from tests.storage.server import WRITER, serving

    with (
        tempfile.TemporaryDirectory(prefix="distmerge-s3-") as folder,
        serving(Path(folder)) as endpoint,
        signed_in(WRITER, endpoint),
    ):
        yield endpoint


@pytest.fixture
def bucket(s3_endpoint: str) -> str:
    """A new bucket's URL."""
    from tests.storage.clients import client

    name = f"test-{uuid.uuid4().hex}"
    client().mkdir(name)
    return f"s3://{name}"
