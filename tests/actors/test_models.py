from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
import torch

from distmerge.actors import FeatureBank, Load, Pool, RayModels, Roster, streamed_features
from distmerge.coordinator import FeatureStore, run_stages
from distmerge.errors import DivergenceError
from distmerge.methods.contract import Draw, IndividualModels, MergedModel, Point
from distmerge.methods.losses import mean_entropy
from distmerge.run import Session, run
from distmerge.spec import ModelFiles, RayConfig
from distmerge.tasks import Role
from tests.coordinator.sessions import config_of, ignored, session_of, source_of
from tests.world import build_world

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]
CONFIG = RayConfig(timeout_s=60.0)
ADAPT = {"adamerging.steps": 20, "adamerging.batch_size": 8, "adamerging.lr": 1e-2}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """Five tasks: more models than actors."""
    return build_world(tmp_path_factory.mktemp("five"), num_tasks=5)


@pytest.fixture(scope="module")
def session(files: ModelFiles) -> Session:
    return session_of(files)


@pytest.fixture(
    scope="module",
    params=[pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(3, marks=pytest.mark.slow)],
    ids=lambda actors: f"{actors} actors",
)
def models(
    request: pytest.FixtureRequest,
    session: Session,
    files: ModelFiles,
    ray_local: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RayModels]:
    tasks = session.vectors.tasks
    arrays = {
        "base": ray.put(session.vectors.base.numpy()),
        "vectors": ray.put(session.vectors.vectors.numpy()),
    }
    store: Path = tmp_path_factory.mktemp("features")
    config = CONFIG.model_copy(update={"actors": request.param})
    with Pool(source_of(files), Load([*tasks, "pretrained"]), config, arrays=arrays) as pool:
        refs = streamed_features(
            pool, session.digests.keys, FeatureStore(store), CONFIG, block=16, report=ignored
        )
        yield RayModels(FeatureBank(refs, 60.0), Roster(tuple(pool.members)), tasks, 60.0)


def test_it_is_the_port_that_methods_know(models: RayModels) -> None:
    assert isinstance(models, IndividualModels)


def test_facts_equal_those_of_this_process(models: RayModels, session: Session) -> None:
    pairs: tuple[tuple[str, Role], ...] = (("beta", "adapt"), ("pretrained", "report"))
    for model, role in pairs:
        there = models.facts(model, "beta", role)
        here = session.models.facts(model, "beta", role)
        assert torch.equal(there.features, here.features)
        assert torch.equal(there.logits, here.logits)


def test_a_gradient_equals_that_of_this_process(models: RayModels, session: Session) -> None:
    coefficients = torch.full((5, len(session.vectors.layout.segments)), 0.3, dtype=torch.float64)
    draw = Draw(seed=0, step=3, batch_size=8, batches=2)
    point = Point(session.vectors, coefficients)
    there = models.gradient(point, draw, mean_entropy)
    here = session.models.gradient(point, draw, mean_entropy)
    assert there.loss == pytest.approx(here.loss, rel=1e-12)
    torch.testing.assert_close(there.coefficients, here.coefficients, rtol=1e-4, atol=1e-7)


def test_twenty_steps_lead_to_the_coefficients_of_this_process(
    models: RayModels, session: Session
) -> None:
    config = config_of(ADAPT, "adamerging")
    here = run_stages(config, session.material, session.vectors, session.models, ignored)
    there = run_stages(config, session.material, session.vectors, models, ignored)
    assert isinstance(here.model, MergedModel)
    assert isinstance(there.model, MergedModel)
    difference = (there.model.coefficients - here.model.coefficients).abs().max().item()
    assert difference < 1e-6
    assert (here.model.coefficients - 0.3).abs().max().item() > 1e-2


def test_a_run_gives_the_rows_of_this_process(models: RayModels, session: Session) -> None:
    config = config_of({**ADAPT, "surgery.steps": 30}, "adamerging", "surgery")
    _, here = run(session, config, ignored)
    distributed = Session(session.study, session.material, session.vectors, session.digests, models)
    _, there = run(distributed, config, ignored)
    assert there.run_id == here.run_id
    assert [m[:3] for m in there.metrics] == [m[:3] for m in here.metrics]
    values = [[m.value for m in record.metrics] for record in (there, here)]
    assert values[0] == pytest.approx(values[1], abs=1e-5)


def test_an_error_in_an_actor_comes_out_as_it_was_raised(
    models: RayModels, session: Session
) -> None:
    broken = torch.full((5, len(session.vectors.layout.segments)), float("nan")).double()
    with pytest.raises(DivergenceError, match=r"step 0: the loss of task alpha is nan"):
        models.gradient(Point(session.vectors, broken), Draw(0, 0, 4, 1), mean_entropy)
