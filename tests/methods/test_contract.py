"""What every registered method keeps, and the merged model that all of them build."""

import pickle
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from distmerge.coordinator import LocalModels, Progress
from distmerge.methods import HYPERS, METHODS
from distmerge.methods.contract import (
    Correction,
    Draw,
    IndividualModels,
    MergedModel,
    Model,
    Scope,
    implementation,
)
from distmerge.run import Session
from distmerge.spec import Choice, Hyper, ModelFiles, RunConfig, Value, run_config, search_space
from distmerge.tasks import ROLES
from tests.coordinator.sessions import (
    PIPELINE,
    config_of,
    learned_by,
    merged_by,
    session_of,
    tensors_of,
    with_vectors,
)

QUICK: Mapping[str, Value] = {"steps": 6, "batch_size": 4, "rank": 4}
# Where a method starts when its coefficients are set to one value; a correction starts at identity.
SCALE = {
    "task_arithmetic": "scaling",
    "ties": "scaling",
    "adamerging": "init",
    "adamerging_pp": "init",
    "tinting": "init",
}
# Their model is routed image by image: no one set of weights, no coefficients. What holds of its
# features instead is in their own test files.
ROUTED = ("bd_merging",)
ONE_TOWER = [name for name in METHODS if name not in ROUTED]
MERGES = [name for name in ONE_TOWER if HYPERS[name].role == "merge"]
LEARNING = [name for name, hyper in HYPERS.items() if "steps" in hyper.model_fields]
every_method = pytest.mark.parametrize("method", METHODS)
every_tower = pytest.mark.parametrize("method", ONE_TOWER)
every_merge = pytest.mark.parametrize("method", MERGES)
every_learning_method = pytest.mark.parametrize("method", LEARNING)


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world)


def config(method: str, *, seed: int = 0, **values: Value) -> RunConfig:
    """Give a short run of ``method``; a correction follows task arithmetic."""
    hyper = HYPERS[method]
    stages = (method,) if hyper.role == "merge" else ("task_arithmetic", method)
    known = {k: v for k, v in {**QUICK, **values}.items() if k in hyper.model_fields}
    return config_of({f"{method}.{k}": v for k, v in known.items()}, *stages, seed=seed)


def learned(session: Session, method: str, *, seed: int = 0) -> Model:
    return learned_by(session, config(method, seed=seed)).model


def merged(session: Session, method: str) -> MergedModel:
    return merged_by(session, config(method)).model


def started(session: Session, method: str, value: float) -> MergedModel:
    """Give where a merge of whole vectors starts with all coefficients at ``value``."""
    whole = {SCALE.get(method, ""): value, "density": 1.0}
    known = {k: v for k, v in whole.items() if k in HYPERS[method].model_fields}
    hyper = HYPERS[method].model_validate(known)
    material, vectors = session.material, session.vectors
    base = MergedModel.pretrained(material.tower, vectors, material.heads)
    adapt = {task.name: task.adapt for task in material.tasks}
    scope = Scope(session.models, adapt, lambda *_: torch.zeros(1, 1), lambda *_: 0.0, 0)
    model = implementation(method)(hyper, base, scope).result()
    assert isinstance(model, MergedModel)
    return model


def with_one_task(session: Session, task: str) -> Session:
    row = session.vectors.tasks.index(task)
    tasks = (session.material.task(task),)
    material = replace(session.material, tasks=tasks)
    vectors = replace(
        session.vectors, tasks=(task,), vectors=session.vectors.vectors[row : row + 1]
    )
    assert isinstance(session.models, LocalModels)
    models = replace(session.models, material=material)
    return replace(session, material=material, vectors=vectors, models=models)


@every_method
def test_a_method_is_listed_under_its_own_name_with_its_paper(method: str) -> None:
    declared = METHODS[method]
    assert declared.name == method
    assert declared.hyper is HYPERS[method]
    assert all([declared.title, declared.paper, declared.summary])


@every_method
def test_every_hyperparameter_says_what_it_means(method: str) -> None:
    fields = HYPERS[method].model_fields
    assert [name for name, field in fields.items() if not field.description] == []


@every_method
def test_the_defaults_and_the_ends_of_the_search_are_allowed(method: str) -> None:
    pipeline = PIPELINE.model_copy(update={"stages": (method,)})
    space = search_space(pipeline, HYPERS)
    ends = {
        key: drawn.values[0] if isinstance(drawn, Choice) else drawn.low
        for key, drawn in space.items()
    }
    assert run_config(pipeline, {}, 0, HYPERS).stages[0].hyper == HYPERS[method]()
    assert run_config(pipeline, ends, 0, HYPERS).values().items() >= ends.items()


@every_method
def test_hyperparameters_pickle(method: str) -> None:
    hyper: Hyper = HYPERS[method]()
    assert pickle.loads(pickle.dumps(hyper)) == hyper
    assert pickle.loads(pickle.dumps(METHODS[method])) == METHODS[method]


@every_method
def test_a_method_has_its_implementation(method: str) -> None:
    assert implementation(method).__module__ == f"distmerge.methods.{method}.stage"


def test_methods_are_described_and_validated_without_torch() -> None:
    code = (
        "import sys; from distmerge.methods import METHODS\n"
        "for m in METHODS.values(): m.hyper(), m.hyper.model_json_schema()\n"
        "print(*{'torch', 'ray', 'open_clip'} & sys.modules.keys())"
    )
    command = [sys.executable, "-c", code]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("method", SCALE)
def test_zero_coefficients_give_the_base_bit_for_bit(session: Session, method: str) -> None:
    assert torch.equal(started(session, method, 0.0).weights, session.vectors.base)


@every_tower
def test_models_that_equal_the_base_give_the_base_bit_for_bit(
    session: Session, method: str
) -> None:
    same = replace(session.vectors, vectors=torch.zeros_like(session.vectors.vectors))
    model = merged(with_vectors(session, same), method)
    assert torch.equal(model.weights, session.vectors.base)


@every_merge
@pytest.mark.parametrize("task", ["alpha", "gamma"])
def test_one_task_with_coefficient_one_gives_its_own_model(
    session: Session, method: str, task: str
) -> None:
    model = started(with_one_task(session, task), method, 1.0)
    own = session.vectors.base + session.vectors.vectors[session.vectors.tasks.index(task)]
    torch.testing.assert_close(model.weights, own, rtol=0, atol=1e-6)


@every_merge
def test_equal_models_are_merged_into_themselves_by_equal_shares(
    session: Session, method: str
) -> None:
    row = session.vectors.vectors[:1]
    same = replace(session.vectors, vectors=row.repeat(3, 1))
    model = started(with_vectors(session, same), method, 1 / 3)
    torch.testing.assert_close(model.weights, session.vectors.base + row[0], rtol=0, atol=1e-6)


@every_method
def test_the_order_of_the_tasks_changes_nothing_else(
    session: Session, world: ModelFiles, method: str
) -> None:
    order = [2, 0, 1]
    tasks = tuple(world.tasks[i] for i in order)
    shuffled = session_of(world.model_copy(update={"tasks": tasks}))
    one, other = tensors_of(learned(session, method)), tensors_of(learned(shuffled, method))
    one |= {name: one[name][order] for name in one.keys() & {"coefficients"}}
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        # Sums over tasks in another order are equal up to float32 rounding.
        torch.testing.assert_close(other[name], tensor, rtol=0, atol=1e-5)


@every_method
def test_the_inputs_are_not_changed(session: Session, method: str) -> None:
    before = {name: tensor.clone() for name, tensor in inputs(session).items()}
    learned(session, method)
    after = inputs(session)
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert [name for name, t in after.items() if t.requires_grad or t.grad is not None] == []


def inputs(session: Session) -> dict[str, Tensor]:
    tensors = {"base": session.vectors.base, "vectors": session.vectors.vectors}
    for task in session.material.tasks:
        head = session.material.heads[task.name]
        tensors |= {f"{task.name} {k}": t for k, t in head.tensors.items()}
        facts = session.models.facts(task.name, task.name, "adapt")
        tensors |= {f"{task.name} features": facts.features, f"{task.name} logits": facts.logits}
        for role in ROLES:
            pixels = np.array(task.samples(role).array)
            tensors[f"{task.name} {role}"] = torch.from_numpy(pixels)
    return tensors


@every_method
def test_the_same_seed_gives_the_same_model_bit_for_bit(session: Session, method: str) -> None:
    one, other = (tensors_of(learned(session, method)) for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


@every_method
def test_another_seed_gives_another_model_exactly_where_something_is_learned(
    session: Session, method: str
) -> None:
    one, other = (tensors_of(learned(session, method, seed=seed)) for seed in (0, 1))
    same = all(torch.equal(one[name], other[name]) for name in one)
    assert same == (method not in LEARNING)


@every_method
def test_global_random_numbers_are_neither_read_nor_drawn(session: Session, method: str) -> None:
    before = torch.random.get_rng_state()
    learned(session, method)
    assert torch.equal(torch.random.get_rng_state(), before)


@every_learning_method
def test_the_loss_falls_on_the_tiny_world(session: Session, method: str) -> None:
    trace: list[Progress] = []
    learned_by(session, config(method, steps=50, lr=0.003, batch_size=16), observe=trace.append)
    by_problem = {p.problem: [q.loss for q in trace if q.problem == p.problem] for p in trace}
    falls = {name: np.mean(loss[-10:]) < np.mean(loss[:10]) for name, loss in by_problem.items()}
    assert falls == dict.fromkeys(falls, True)


@every_method
def test_a_merged_model_answers_for_every_task(session: Session, method: str) -> None:
    model = learned(session, method)
    for task in session.material.tasks:
        images = task.report.samples.batch(np.arange(4), session.material.config.preprocess)
        logits = model.logits(images, task.name)
        assert logits.shape == (4, len(task.classes))
        assert logits.isfinite().all()


@every_tower
def test_the_weights_of_a_model_are_those_of_its_coefficients(
    session: Session, method: str
) -> None:
    model = merged(session, method)
    assert torch.equal(model.merged(model.coefficients).weights, model.weights)
    assert all(isinstance(c, Correction) for c in model.corrections.values())


def test_the_pretrained_model_is_the_base_for_every_task(session: Session) -> None:
    material, vectors = session.material, session.vectors
    model = MergedModel.pretrained(material.tower, vectors, material.heads)
    images = material.tasks[1].adapt.batch(np.arange(5), material.config.preprocess)
    features = material.tower.features(vectors.layout.unflatten(vectors.base), images)
    assert not model.coefficients.any()
    assert torch.equal(model.tower_features(images, "alpha"), features)
    assert torch.equal(model.features(images, "beta"), features)
    assert torch.equal(model.logits(images, "beta"), material.heads["beta"](features))


def test_a_merge_leaves_the_model_that_it_starts_from(session: Session) -> None:
    material, vectors = session.material, session.vectors
    model = MergedModel.pretrained(material.tower, vectors, material.heads)
    model.merged(torch.ones_like(model.coefficients))
    assert torch.equal(model.weights, vectors.base)


@pytest.mark.parametrize(("batch_size", "batches", "size"), [(16, 2, 32), (8, 1, 8)])
def test_a_draw_holds_all_batches_of_a_step(batch_size: int, batches: int, size: int) -> None:
    assert Draw(seed=0, step=3, batch_size=batch_size, batches=batches).size == size


def test_the_local_models_are_the_port(session: Session) -> None:
    assert isinstance(session.models, IndividualModels)
