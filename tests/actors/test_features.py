import os
import signal
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch

from distmerge.actors import (
    FeatureBank,
    Load,
    Pool,
    RayModels,
    Roster,
    measure_study,
    stored_features,
    streamed_features,
)
from distmerge.coordinator import (
    Digests,
    FeatureKey,
    FeatureStore,
    Source,
    TaskWorker,
    load_material,
    source_digests,
)
from distmerge.errors import WorkerTimeoutError
from distmerge.methods.contract import PRETRAINED
from distmerge.spec import ImageCounts, ModelFiles, RayConfig
from tests.coordinator.sessions import session_of
from tests.world import build_world

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]
CONFIG = RayConfig(timeout_s=60.0)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """Five tasks: more models than actors."""
    return build_world(tmp_path_factory.mktemp("five"), num_tasks=5)


@pytest.fixture(scope="module")
def source(files: ModelFiles) -> Source:
    cache = files.base.parent / "images"
    return Source(files, ImageCounts(), transductive=False, cache=cache)


@pytest.fixture(scope="module")
def digests(source: Source) -> Digests:
    return source_digests(source, load_material(source))


@pytest.fixture(scope="module", autouse=True)
def study(ray_local: None) -> None:
    """Name the study that this process exports metrics of."""
    measure_study("features")


def models_of(source: Source) -> list[str]:
    return [task.name for task in source.files.tasks] + [PRETRAINED]


def pool_of(source: Source, models: list[str], actors: int) -> Pool:
    return Pool(source, Load(models), CONFIG.model_copy(update={"actors": actors}))


def silent(_line: str) -> None:
    """Report nothing."""


def expected(source: Source, key: FeatureKey, block: int) -> list[np.ndarray]:
    """Give what a worker in this process says, field by field."""
    blocks = list(TaskWorker(source, [key.model]).blocks(key, block))
    return [np.concatenate(parts) for parts in zip(*blocks, strict=True)]


@pytest.mark.parametrize(
    "actors", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(3, marks=pytest.mark.slow)]
)
def test_streamed_features_equal_those_of_this_process_bit_for_bit(
    actors: int, source: Source, digests: Digests, tmp_path: Path
) -> None:
    store = FeatureStore(tmp_path)
    with pool_of(source, models_of(source), actors) as pool:
        refs = streamed_features(pool, digests.keys, store, CONFIG, block=7, report=silent)
        bank = FeatureBank(refs, timeout_s=30.0)
        assert set(bank) == set(digests.keys)
        for key in (digests.keys[0], digests.keys[-1]):
            layers, features, logits, confidence = expected(source, key, 7)
            np.testing.assert_array_equal(bank[key].layers.numpy(), layers)
            np.testing.assert_array_equal(bank[key].features.numpy(), features)
            np.testing.assert_array_equal(bank[key].logits.numpy(), logits)
            np.testing.assert_array_equal(bank[key].confidence.numpy(), confidence)
            np.testing.assert_array_equal(store.load(key).features, features)


@pytest.mark.parametrize("actors", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_crossed_facts_equal_those_of_this_process_bit_for_bit(
    actors: int, files: ModelFiles, source: Source, tmp_path: Path
) -> None:
    here = session_of(files, "adapt", "report")
    keys, tasks = here.digests.keys, here.vectors.tasks
    with pool_of(source, models_of(source), actors) as pool:
        store = FeatureStore(tmp_path)
        refs = streamed_features(pool, keys, store, CONFIG, block=16, report=silent)
        there = RayModels(FeatureBank(refs, 30.0), Roster(tuple(pool.members)), tasks, 30.0)
        asked = {key[:3] for key in keys if key.crossed}
        assert asked == {(m, t, r) for m, t in permutations(tasks, 2) for r in ("adapt", "report")}
        for model, task, role in asked:
            found, expected = (port.facts(model, task, role) for port in (there, here.models))
            assert torch.equal(found.features, expected.features)
            assert torch.equal(found.logits, expected.logits)
            assert torch.equal(found.confidence, expected.confidence)
            assert found.layers.shape == expected.layers.shape == (len(found.logits), 0, 16)


def test_stored_features_are_put_without_any_actor(
    source: Source, digests: Digests, tmp_path: Path
) -> None:
    store, key = FeatureStore(tmp_path), digests.keys[0]
    store.save(key, list(TaskWorker(source, [key.model]).blocks(key, 16)))
    refs = stored_features(digests.keys, store)
    assert list(refs) == [key]
    _, features, _, _ = expected(source, key, 16)
    np.testing.assert_array_equal(FeatureBank(refs, timeout_s=30.0)[key].features, features)


def test_every_fact_is_computed_once_in_the_life_of_a_cache(
    source: Source, digests: Digests, tmp_path: Path
) -> None:
    store, reports = FeatureStore(tmp_path), list[str]()
    with pool_of(source, models_of(source), 2) as pool:
        streamed_features(pool, digests.keys, store, CONFIG, block=16, report=reports.append)
    assert len(set(reports)) == len(reports) == len({key.digest for key in digests.keys})
    assert set(stored_features(digests.keys, FeatureStore(tmp_path))) == set(digests.keys)


@pytest.mark.parametrize("block", [7, 1000], ids=["several blocks", "one block"])
def test_what_was_streamed_is_mapped_and_not_copied(
    block: int, source: Source, digests: Digests, tmp_path: Path
) -> None:
    key = next(key for key in digests.keys if key.model == "alpha")
    with pool_of(source, ["alpha"], 1) as pool:
        refs = streamed_features(
            pool, (key,), FeatureStore(tmp_path), CONFIG, block=block, report=silent
        )
        first, second = (FeatureBank(refs, timeout_s=30.0)[key] for _ in range(2))
        assert not first.blocks[0].layers.flags.writeable
        assert first.layers.data_ptr() == second.layers.data_ptr()
        assert first.layers.data_ptr() == first.blocks[0].layers.ctypes.data


def test_an_actor_killed_while_it_streams_changes_no_number(
    source: Source, digests: Digests, tmp_path: Path
) -> None:
    store = FeatureStore(tmp_path)
    with pool_of(source, models_of(source), 2) as pool:
        victim = pool.infos()[1].pid
        done: list[str] = []

        def kill_once(line: str) -> None:
            if not done:
                os.kill(victim, signal.SIGKILL)
            done.append(line)

        refs = streamed_features(pool, digests.keys, store, CONFIG, block=1, report=kill_once)
        assert pool.infos()[1].pid != victim
    assert set(refs) == set(digests.keys)
    for key in digests.keys:
        _, features, logits, _ = expected(source, key, 1)
        np.testing.assert_array_equal(store.load(key).features, features)
        np.testing.assert_array_equal(store.load(key).logits, logits)


def test_features_that_do_not_come_are_named(
    source: Source, digests: Digests, tmp_path: Path
) -> None:
    config = RayConfig(timeout_s=2.0)
    with pool_of(source, ["alpha"], 1) as pool:
        pid = pool.infos()[0].pid
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(
                WorkerTimeoutError, match=r"no features in 2 s .* of: alpha on adapt"
            ):
                streamed_features(
                    pool, digests.keys, FeatureStore(tmp_path), config, block=7, report=silent
                )
        finally:
            os.kill(pid, signal.SIGCONT)


def test_an_actor_runs_ahead_by_the_blocks_in_flight_and_no_further(
    source: Source, digests: Digests
) -> None:
    import ray

    with pool_of(source, ["alpha"], 1) as pool:
        method = pool.members[0].actor.blocks.options(
            num_returns="streaming", _generator_backpressure_num_objects=2
        )
        generator = method.remote(digests.keys[0], 1)
        ready, _ = ray.wait([generator], timeout=30)
        assert ready
        # The actor is busy with the stream as long as it is held back.
        _, waiting = ray.wait([pool.members[0].actor.info.remote()], timeout=1.0)
        assert waiting
        ray.cancel(generator)
        assert pool.infos()[0].models == ("alpha",)
