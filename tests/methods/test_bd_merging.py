"""BD-Merging on the tiny world: all phases, and every option."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn.functional import normalize

from distmerge.coordinator import Progress, model_logits
from distmerge.errors import ConfigError, DataError
from distmerge.evaluation import accuracy
from distmerge.methods.bd_merging import BDMerging
from distmerge.methods.bd_merging.model import (
    RoutedModel,
    RouterInput,
    router_reader,
)
from distmerge.methods.bd_merging.objective import Objective
from distmerge.methods.bd_merging.pool import Drawn, adapt_pool
from distmerge.methods.bd_merging.router import identity_loss, initial_router, standardised
from distmerge.methods.bd_merging.stage import initial_evidence
from distmerge.methods.contract import (
    PRETRAINED,
    MergedModel,
    Model,
)
from distmerge.run import Session
from distmerge.spec import ModelFiles, Value
from tests.coordinator.sessions import (
    config_of,
    learned_by,
    session_of,
    tensors_of,
)
from tests.methods.bd import QUICK, base_of, batch_of, learned, routed, scope_of

OPTIONS: tuple[dict[str, Value], ...] = (
    {"warm_up": 0},
    {"views": 2},
    {"identity": 0.0},
    {"steps": 0},
    {"router_input": "cls"},
    {"router_input": "mean"},
    {"router_input": "embed"},
    {"router_norm": "none"},
    {"grouping": "per_block"},
    {"grouping": "per_tensor"},
    {"entropy": "relative"},
    {"entropy_over": "unified"},
    {"kl": "full"},
    {"kl": "misleading"},
    {"inverse": "literal"},
    {"aliases": "alpha.0=beta.1"},
    {"train_head": "both"},
    {"train_head": "both", "pool": "bank"},
    {"sharp": "sigmoid"},
    {"sharp": "one"},
    {"sharp": "literal"},
    {"sharp_self": False},
    {"div": False},
    {"symmetric": True},
    {"split": "radius"},
    {"feature_space": "merged"},
    {"pool": "bank"},
    {"radius": 0.5},
    {"eta": 0.0},
    {"gamma": 0.0, "kl_weight": 0.0},
    {"rank_error": 0.9},
    {"budget_mb": 1},
    {"recompute": True},
    {"keep": "best", "check_every": 2, "check_images": 8},
)


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world)


@pytest.fixture(scope="module")
def trained(session: Session) -> RoutedModel:
    return routed(session, {"steps": 100, "batch_size": 16, "lr": 0.003, "router_input": "mean"})


def mean_accuracy(session: Session, model: Model) -> float:
    tasks = session.material.tasks
    found = [
        accuracy(
            model_logits(session.material, model, task.name, "report"),
            torch.from_numpy(task.report.labels),
        )
        for task in tasks
    ]
    return sum(found) / len(found)


def test_it_beats_weight_averaging(session: Session, trained: RoutedModel) -> None:
    average = learned_by(session, config_of({}, "weight_averaging")).model
    assert mean_accuracy(session, trained) > mean_accuracy(session, average) + 0.1


def test_facts_alone_teach_the_router_whose_images_it_reads(session: Session) -> None:
    model = routed(session, {"warm_up": 100, "steps": 0, "batch_size": 16, "router_input": "mean"})
    for row, task in enumerate(session.vectors.tasks):
        shares = model.answers(batch_of(session, task, 24)).routing.mean(dim=0)
        assert int(shares.argmax()) == row


def test_the_identity_loss_sums_the_tasks_means() -> None:
    own = torch.tensor([0.5, 0.25, 0.2, 0.8])
    scores = torch.stack([own, 1 - own], dim=1).log()
    scores[2:] = scores[2:].flip(1)
    expected = -(math.log(0.5) + math.log(0.25) + math.log(0.2) + math.log(0.8)) / 2
    assert identity_loss(scores[:, :, None]).item() == pytest.approx(expected)


def test_the_identity_loss_of_a_router_that_is_sure_and_wrong_is_finite() -> None:
    scores = torch.tensor([[0.0, 1e4], [1e4, 0.0]])
    assert identity_loss(scores[:, :, None]).item() == pytest.approx(2e4)


def test_a_component_that_all_images_share_is_only_centred() -> None:
    router = initial_router(("alpha", "beta"), 1, 3, 4, 0)
    tokens = torch.tensor([[5.0, 1.0, 0.0], [5.0, 3.0, 4.0]])
    found = standardised(router, tokens)
    assert found.center.tolist() == [5, 2, 2]
    assert found.scale.tolist() == [1, 1, 2]


def test_a_tasks_images_get_most_of_their_own_tasks_vector(
    session: Session, trained: RoutedModel
) -> None:
    for row, task in enumerate(session.vectors.tasks):
        shares = trained.answers(batch_of(session, task, 24)).routing.mean(dim=0)
        assert int(shares.argmax()) == row


@pytest.mark.parametrize("values", OPTIONS, ids=str)
def test_every_option_trains_and_ends_finite(session: Session, values: dict[str, Value]) -> None:
    model = routed(session, values)
    assert all(tensor.isfinite().all() for tensor in model.state().values())
    assert model.logits(batch_of(session), "alpha").isfinite().all()


INERT = (
    {"budget_mb": 1},
    {"recompute": True},
    {"keep": "best", "check_every": 2, "check_images": 8},
    {"symmetric": True},
)


@pytest.mark.parametrize("values", [o for o in OPTIONS if o not in INERT], ids=str)
def test_every_option_changes_what_is_learned(session: Session, values: dict[str, Value]) -> None:
    plain, other = tensors_of(learned(session, {})), tensors_of(learned(session, values))
    same = [
        k for k in plain if plain[k].shape == other[k].shape and torch.equal(plain[k], other[k])
    ]
    assert len(same) < len(plain) - 1


def test_without_a_router_all_images_share_their_coefficients(session: Session) -> None:
    model = learned(session, {"router": "none", "grouping": "per_tensor"})
    assert isinstance(model, MergedModel)
    assert not torch.equal(model.coefficients, torch.full_like(model.coefficients, 0.3))
    assert ((model.coefficients >= 0) & (model.coefficients <= 1)).all()


@pytest.mark.parametrize("eta", [0.0, 0.1])
def test_without_a_router_the_loss_falls(session: Session, eta: float) -> None:
    trace: list[Progress] = []
    values: dict[str, Value] = {
        "router": "none",
        "head_steps": 6,
        "steps": 40,
        "batch_size": 16,
        "lr": 0.01,
        "eta": eta,
    }
    config = config_of({f"bd_merging.{k}": v for k, v in values.items()}, "bd_merging")
    learned_by(session, config, observe=trace.append)
    losses = [progress.loss for progress in trace if progress.problem == "coefficients"]
    assert np.mean(losses[-10:]) < np.mean(losses[:10])


def test_without_router_and_contrast_a_step_is_one_of_adamerging(session: Session) -> None:
    values: dict[str, Value] = {"router": "none", "eta": 0.0, "grouping": "per_tensor"}
    ours = learned(session, values)
    theirs: dict[str, Value] = {"steps": 6, "batch_size": 4, "batches": 1}
    config = config_of({f"adamerging.{k}": v for k, v in theirs.items()}, "adamerging")
    expected = learned_by(session, config).model
    found, wanted = tensors_of(ours)["coefficients"], tensors_of(expected)["coefficients"]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def test_the_averaged_tower_is_what_weight_averaging_gives(session: Session) -> None:
    average = learned_by(session, config_of({}, "weight_averaging")).model
    assert isinstance(average, MergedModel)
    named, batch = average.vectors.layout.unflatten(average.weights), batch_of(session)
    expected = average.tower.encode(named, batch).layers[:, -1]
    found = router_reader(average.tower, session.vectors, "averaged")(batch)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_features_and_tokens_of_adapt_images_are_facts(session: Session) -> None:
    pool = adapt_pool(base_of(session), scope_of(session), "cls")
    facts = session.models.facts(PRETRAINED, "beta", "adapt")
    assert torch.equal(pool.features[40:80], facts.features)
    assert torch.equal(pool.tokens[40:80], facts.layers[:, -1])


@pytest.mark.parametrize("kind", ["averaged", "cls", "mean", "embed"])
def test_the_router_reads_the_same_when_it_learns_and_when_it_answers(
    session: Session, kind: RouterInput
) -> None:
    pool = adapt_pool(base_of(session), scope_of(session), kind)
    images = session.material.task("gamma").adapt
    batch = images.batch(np.arange(5), session.material.config.preprocess)
    found = router_reader(session.material.tower, session.vectors, kind)(batch)
    torch.testing.assert_close(found, pool.tokens[80:85], rtol=0, atol=1e-5)


def test_a_draw_is_the_tasks_batches_side_by_side(session: Session) -> None:
    pool = adapt_pool(base_of(session), scope_of(session), "cls")
    drawn = pool.draw(0, 3, 4)
    assert drawn.images.shape == (12, 3, 16, 16)
    assert [int(place) // 40 for place in drawn.places] == [0] * 4 + [1] * 4 + [2] * 4
    facts = session.models.facts(PRETRAINED, "gamma", "adapt").features
    assert torch.equal(pool.features[drawn.places[8:]], facts[drawn.places[8:] - 80])


def test_a_task_with_fewer_images_than_a_batch_is_named(session: Session) -> None:
    with pytest.raises(DataError, match=r"task alpha: a batch of 41 from 40 images"):
        learned(session, {"batch_size": 41})


def test_the_median_adapt_image_starts_half_uncertain(session: Session) -> None:
    hyper = BDMerging()
    pool = adapt_pool(base_of(session), scope_of(session), "cls")
    alpha = initial_evidence(hyper, base_of(session), pool).alpha(pool.features)
    assert alpha.shape[1] == 12
    assert (12 / alpha.sum(dim=1)).median().item() == pytest.approx(0.5, abs=0.02)


def drawn_objective(session: Session, hyper: BDMerging) -> tuple[Objective, Drawn, Tensor]:
    model = base_of(session)
    pool = adapt_pool(model, scope_of(session), "cls")
    heads = {task: model.heads[task] for task in session.vectors.tasks}
    objective = Objective(hyper, pool, initial_evidence(hyper, model, pool), heads)
    drawn = pool.draw(0, 0, hyper.batch_size)
    return objective, drawn, pool.features[drawn.places]


def test_without_ads_neighbours_are_pulled_and_all_others_pushed(session: Session) -> None:
    objective, drawn, features = drawn_objective(session, BDMerging(split="radius"))
    split = objective.split(features, drawn)
    distances = 1 - normalize(features, dim=1) @ normalize(features, dim=1).T
    others = ~torch.eye(48, dtype=torch.bool)
    assert torch.equal(split.positive ^ split.negative, others)
    assert distances[split.positive].mean() < distances[split.negative].mean()


@pytest.mark.parametrize("pool", ["batch", "bank"])
def test_half_of_the_neighbours_are_pulled(session: Session, pool) -> None:  # type: ignore[no-untyped-def]
    objective, drawn, features = drawn_objective(session, BDMerging(pool=pool))
    split = objective.split(features, drawn)
    pulled, pushed = int(split.positive.sum()), int(split.negative.sum())
    assert pulled > 0
    assert abs(pulled - pushed) <= 1


def test_the_threshold_is_a_moving_average(session: Session) -> None:
    objective, drawn, features = drawn_objective(session, BDMerging(eps_decay=0.5))
    objective.split(features, drawn)
    first = objective.threshold.item()
    objective.split(features[drawn.places.argsort()], replace_places(drawn))
    assert np.isfinite(first)
    assert objective.threshold.item() == pytest.approx(first, rel=1e-6)  # only reordered


def replace_places(drawn: Drawn) -> Drawn:
    order = drawn.places.argsort()
    return Drawn(drawn.images[order], drawn.places[order])


def test_a_merged_feature_space_that_must_be_cached_is_refused() -> None:
    with pytest.raises(ValidationError, match="pool bank needs feature_space pretrained"):
        BDMerging(pool="bank", feature_space="merged")


def test_low_rank_without_a_router_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"rank_error 0\.1 needs router mlp"):
        BDMerging(router="none", rank_error=0.1)


def test_an_alias_of_no_class_is_refused(session: Session) -> None:
    with pytest.raises(ConfigError, match=r"aliases: got 'alpha.9=beta.0'"):
        learned(session, {"aliases": "alpha.9=beta.0"})


def test_a_stage_follows_coefficients_that_images_share(session: Session) -> None:
    settings = {f"bd_merging.{k}": v for k, v in {**QUICK, "router": "none"}.items()}
    config = config_of({**settings, "surgery.steps": 2}, "bd_merging", "surgery")
    model = learned_by(session, config).model
    assert isinstance(model, MergedModel)
    assert model.corrections.keys() == {"alpha", "beta", "gamma"}
