"""The routed model of BD-Merging: what it answers, where it starts, how it is kept."""

import json
from dataclasses import replace

import pytest
import safetensors.torch
import torch
from torch import Tensor

from distmerge.coordinator import LocalModels, recipe_bytes, router_bytes
from distmerge.methods.bd_merging import BDMerging
from distmerge.methods.bd_merging.evidence import uncertainty
from distmerge.methods.bd_merging.model import (
    RoutedModel,
    RouterInput,
    restored_model,
    router_reader,
)
from distmerge.methods.bd_merging.router import Router, initial_router, standardised
from distmerge.methods.contract import MergedModel, Model, Routed
from distmerge.run import Session
from distmerge.spec import ModelFiles, Value
from distmerge.taskvectors import LowRank, TaskVectors
from tests.coordinator.sessions import (
    config_of,
    learned_by,
    session_of,
    with_vectors,
)
from tests.methods.bd import QUICK, base_of, batch_of, planned, routed

LOW_RANK: dict[str, Value] = {**QUICK, "rank_error": 0.9}


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world)


@pytest.fixture(scope="module")
def trained(session: Session) -> RoutedModel:
    return routed(session, {"steps": 100, "batch_size": 16, "lr": 0.003, "router_input": "mean"})


def test_features_routing_and_uncertainty_take_no_task(
    session: Session, trained: RoutedModel
) -> None:
    assert isinstance(trained, Routed)
    features, routing, uncertain = trained.answers(batch_of(session))
    assert features.shape == (12, 8)
    torch.testing.assert_close(routing.sum(dim=1), torch.ones(12))
    assert ((uncertain > 0) & (uncertain <= 1)).all()


@pytest.mark.parametrize("router_input", ["averaged", "cls", "mean", "embed"])
def test_the_answers_are_those_of_the_router_and_the_evidential_head(
    session: Session, router_input: RouterInput
) -> None:
    model = routed(session, {"router_input": router_input, "grouping": "per_block"})
    images, base = batch_of(session), base_of(session)
    found = model.answers(images)
    with torch.inference_mode():
        tokens = router_reader(model.tower, model.vectors, router_input)(images)
        routing = model.router(tokens).mean(dim=2)
        plain = base.tower_features(images, "alpha")
        expected = uncertainty(model.evidence.alpha(plain))
    torch.testing.assert_close(found.routing, routing, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.uncertainty, expected, rtol=0, atol=1e-5)


def test_a_uniform_router_is_the_weight_average(session: Session) -> None:
    model = routed(session, {})
    router = model.router
    equal = replace(
        router, out=torch.zeros_like(router.out), out_bias=torch.zeros_like(router.out_bias)
    )
    average = learned_by(session, config_of({}, "weight_averaging")).model
    images, uniform = batch_of(session), replace(model, router=equal)
    assert isinstance(average, MergedModel)
    torch.testing.assert_close(
        uniform.answers(images).features, average.features(images, "alpha"), rtol=0, atol=1e-5
    )


def test_one_merged_tower_is_no_routed_model(session: Session) -> None:
    assert isinstance(base_of(session), Model)
    assert not isinstance(base_of(session), Routed)


def test_the_task_decides_about_the_head_alone(session: Session, trained: RoutedModel) -> None:
    images = batch_of(session)
    expected = session.material.heads["beta"](trained.answers(images).features)
    assert torch.equal(trained.logits(images, "beta"), expected)


def test_an_images_answer_does_not_depend_on_its_batch(
    session: Session, trained: RoutedModel
) -> None:
    images = torch.cat([batch_of(session, task, 4) for task in session.vectors.tasks])
    alone = [trained.answers(image[None]) for image in images]
    for together, parts in zip(trained.answers(images), zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(together, torch.cat(parts), rtol=0, atol=1e-5)


def test_a_router_starts_near_the_weight_average(session: Session) -> None:
    model = planned(session, BDMerging()).result()
    average = learned_by(session, config_of({}, "weight_averaging")).model
    images = batch_of(session)
    assert isinstance(model, RoutedModel)
    routing = model.answers(images).routing
    torch.testing.assert_close(routing, torch.full((12, 3), 1 / 3), rtol=0, atol=0.05)
    torch.testing.assert_close(
        model.logits(images, "alpha"), average.logits(images, "alpha"), rtol=0, atol=0.5
    )


def vectors_with(session: Session, vectors: Tensor) -> TaskVectors:
    return replace(session.vectors, vectors=vectors)


def test_task_vectors_of_zero_give_the_base(session: Session) -> None:
    nothing = torch.zeros_like(session.vectors.vectors)
    model = routed(with_vectors(session, vectors_with(session, nothing)), {})
    images = batch_of(session)
    expected = base_of(session).tower_features(images, "alpha")
    torch.testing.assert_close(model.answers(images).features, expected, rtol=0, atol=1e-5)


def test_equal_models_are_merged_into_themselves(session: Session) -> None:
    row = session.vectors.vectors[:1]
    model = routed(with_vectors(session, vectors_with(session, row.repeat(3, 1))), {})
    images = batch_of(session)
    weights = session.vectors.layout.unflatten(session.vectors.base + row[0])
    expected = session.material.tower.features(weights, images)
    torch.testing.assert_close(model.answers(images).features, expected, rtol=0, atol=1e-5)


def test_a_single_task_is_its_own_model(session: Session) -> None:
    material = replace(session.material, tasks=session.material.tasks[:1])
    vectors = replace(session.vectors, tasks=("alpha",), vectors=session.vectors.vectors[:1])
    assert isinstance(session.models, LocalModels)
    models = replace(session.models, material=material)
    alone = replace(session, material=material, vectors=vectors, models=models)
    model = routed(alone, {})
    weights = vectors.layout.unflatten(vectors.base + vectors.vectors[0])
    expected = material.tower.features(weights, batch_of(session))
    found = model.answers(batch_of(session)).features
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"grouping": "per_block", "router_input": "mean", "aliases": "alpha.0=beta.1"},
        {"rank_error": 0.9},
    ],
)
def test_a_recipe_gives_the_model_back(session: Session, values: dict[str, Value]) -> None:
    model = routed(session, values)
    content = router_bytes(recipe_bytes(model), {"run_id": "0123"})
    assert content is not None
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    settings = {name: json.loads(header[name]) for name in model.settings()}
    state = safetensors.torch.load(content)
    again = restored_model(base_of(session), state, settings, budget_mb=512)
    assert header["run_id"] == "0123"
    found, expected = (m.answers(batch_of(session)) for m in (again, model))
    assert all(torch.equal(f, e) for f, e in zip(found, expected, strict=True))


def test_a_run_says_what_low_rank_leaves_out_and_its_answers_leave_it_out(session: Session) -> None:
    found = learned_by(
        session, config_of({f"bd_merging.{k}": v for k, v in LOW_RANK.items()}, "bd_merging")
    )
    model = found.model
    assert isinstance(model, RoutedModel)
    errors = [row.value for row in found.metrics if row.metric == "bank_error"]
    assert errors[:3] == list(model.bank_error.values())
    assert errors[3:] == [pytest.approx(sum(errors[:3]) / 3)]
    assert all(0 < error < 0.9 for error in errors)
    exact = replace(model, low_rank=LowRank(0.0))
    features, wanted = (m.answers(batch_of(session)).features for m in (model, exact))
    assert 1e-3 < (features - wanted).norm() / wanted.norm() < 0.5


def test_exact_vectors_leave_no_error_in_a_run(session: Session) -> None:
    values = {f"bd_merging.{k}": v for k, v in QUICK.items()}
    found = learned_by(session, config_of(values, "bd_merging"))
    assert not [row for row in found.metrics if row.metric == "bank_error"]


def test_a_recipe_of_a_version_without_low_rank_is_exact(session: Session) -> None:
    model = routed(session, {})
    settings = {name: value for name, value in model.settings().items() if name != "rank_error"}
    again = restored_model(base_of(session), model.state(), settings, budget_mb=0)
    assert again.low_rank == LowRank(0.0)


def test_a_standardised_router_reads_components_of_mean_zero_and_deviation_one() -> None:
    tokens = 50 + 3 * torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    tokens[:, 2] = 7
    plain = initial_router(("alpha", "beta"), 3, 6, 8, seed=0)
    router = standardised(plain, tokens)
    clear = (tokens - tokens.mean(dim=0)) / tokens.std(dim=0, correction=0).clamp(min=1e-6)
    torch.testing.assert_close(router(tokens), plain(clear), rtol=0, atol=1e-6)


def test_a_router_gives_shares_of_the_tasks_per_group() -> None:
    tokens = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    router = initial_router(("alpha", "beta"), 3, 6, 8, seed=0)
    shares = router(tokens)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(5, 3))
    torch.testing.assert_close(shares, torch.full((5, 2, 3), 0.5), rtol=0, atol=0.05)


def test_a_tasks_rows_of_the_router_depend_on_its_name_alone() -> None:
    one = initial_router(("alpha", "beta"), 3, 6, 8, seed=0)
    other = initial_router(("gamma", "beta", "alpha"), 3, 6, 8, seed=0)
    assert torch.equal(one.out, other.out[[2, 1]])
    assert torch.equal(one.hidden, other.hidden)


def test_a_frozen_router_keeps_its_values() -> None:
    router = initial_router(("alpha", "beta"), 1, 6, 8, seed=0).learning(torch.device("cpu"))
    frozen = router.frozen()
    with torch.no_grad():
        router.out.add_(1)
    assert isinstance(frozen, Router)
    assert not torch.equal(frozen.out, router.out)
    assert not any(tensor.requires_grad for tensor in frozen.parameters)
