"""How a method that learns is watched without labels, and what a collapse then looks like."""

import re

import numpy as np
import pytest
import torch

from distmerge.coordinator import Merging, Progress, optimise
from distmerge.coordinator.stages import model_features
from distmerge.methods.contract import MergedModel, Model, Scope, implementation
from distmerge.results import MEAN, suspicions
from distmerge.run import Session
from distmerge.spec import ModelFiles, RunConfig, Value
from tests.coordinator.sessions import config_of, ignored, learned_by, session_of, tensors_of

QUICK: dict[str, Value] = {"adamerging.steps": 5, "adamerging.batch_size": 4}
SURGERY: dict[str, Value] = {"surgery.steps": 5, "surgery.batch_size": 4}
WATCHED: list[tuple[tuple[str, ...], dict[str, Value]]] = [
    (("adamerging",), QUICK),
    (("adamerging_pp",), {"adamerging_pp.steps": 5, "adamerging_pp.batch_size": 4}),
    (("tinting",), {"tinting.steps": 5, "tinting.batch_size": 4}),
    (("task_arithmetic", "surgery"), SURGERY),
    (
        ("bd_merging",),
        {"bd_merging.head_steps": 3, "bd_merging.steps": 3, "bd_merging.batch_size": 4},
    ),
]
watched = pytest.mark.parametrize(("stages", "settings"), WATCHED, ids=[s[-1] for s, _ in WATCHED])


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world)


def values(merging: Merging, task: str = MEAN) -> dict[str, float]:
    return {m.metric: m.value for m in merging.metrics if m.task == task}


@pytest.mark.parametrize("stages", [("weight_averaging",), ("task_arithmetic",), ("ties",)])
def test_a_method_that_does_not_learn_is_not_watched(
    session: Session, stages: tuple[str, ...]
) -> None:
    assert learned_by(session, config_of({}, *stages)).metrics == ()


@watched
def test_a_method_that_learns_is_watched_from_start_to_end(
    session: Session, stages: tuple[str, ...], settings: dict[str, Value]
) -> None:
    merging = learned_by(session, config_of(settings, *stages))
    assert {m.task for m in merging.metrics} == {"alpha", "beta", "gamma", MEAN}
    by_hand = agreement_by_hand(session, merging.model)
    assert values(merging)["agreement"] == pytest.approx(by_hand, abs=1e-12)
    average = learned_by(session, config_of({}, "weight_averaging")).model
    by_hand = agreement_by_hand(session, average)
    assert values(merging)["averaging_agreement"] == pytest.approx(by_hand, abs=1e-12)
    assert values(merging)["kept_step"] == merging.steps


def agreement_by_hand(session: Session, model: Model) -> float:
    """Give the mean agreement on all 40 adapt images of each task."""
    shares = []
    for task in session.material.tasks:
        images = task.adapt.batch(np.arange(40), session.material.config.preprocess)
        own = session.models.facts(task.name, task.name, "adapt").logits.argmax(dim=1)
        shares.append((model.logits(images, task.name).argmax(dim=1) == own).double().mean())
    return float(sum(shares) / 3)


@watched
def test_checks_change_no_number(
    session: Session, stages: tuple[str, ...], settings: dict[str, Value]
) -> None:
    method = stages[-1]
    checks: dict[str, Value] = {"patience": 99, "check_every": 1, "check_images": 7}
    often = {**settings, **{f"{method}.{name}": value for name, value in checks.items()}}
    one, other = (learned_by(session, config_of(s, *stages)) for s in (settings, often))
    tensors = tensors_of(one.model), tensors_of(other.model)
    assert one.steps == other.steps
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])


@watched
def test_watching_changes_no_number(
    session: Session, stages: tuple[str, ...], settings: dict[str, Value]
) -> None:
    config = config_of(settings, *stages)
    seen, unseen = learned_by(session, config).model, unwatched(session, config)
    tensors = tensors_of(seen), tensors_of(unseen)
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])


def unwatched(session: Session, config: RunConfig) -> Model:
    """Run the stages without ever asking a model that is not done for its predictions."""
    material = session.material
    adapt = {task.name: task.adapt for task in material.tasks}
    scope = Scope(
        models=session.models,
        adapt=adapt,
        features=lambda model, task: model_features(material, model, adapt[task], task),
        agreement=never,
        seed=config.seed,
    )
    model: Model = MergedModel.pretrained(material.tower, session.vectors, material.heads)
    for stage in config.stages:
        assert isinstance(model, MergedModel)
        plan = implementation(stage.method)(stage.hyper, model, scope)
        for problem in plan.problems:
            optimise(problem, ignored)
        model = plan.result()
    return model


def never(_model: Model, _num_images: int) -> float:
    raise AssertionError("the agreement was asked for")


def test_a_run_of_two_stages_starts_where_the_first_one_that_learns_starts(
    session: Session,
) -> None:
    both = config_of({**QUICK, **SURGERY}, "adamerging", "surgery")
    start = values(learned_by(session, both))["agreement:start"]
    first = learned_by(session, config_of({}, "task_arithmetic")).model
    assert start == pytest.approx(agreement_by_hand(session, first), abs=1e-12)


def test_the_images_that_are_watched_are_the_first_ones(session: Session) -> None:
    settings = {**QUICK, "adamerging.check_images": 1}
    found = values(learned_by(session, config_of(settings, "adamerging")), "beta")
    assert found["individual_classes"] == 1
    assert found["agreement"] in {0, 1}


RECKLESS: dict[str, Value] = {
    "adamerging.steps": 20,
    "adamerging.batch_size": 8,
    "adamerging.lr": 1.0,
    "adamerging.projection": "none",
    "adamerging.check_every": 5,
}


def test_a_collapse_is_noticed(session: Session) -> None:
    merging = learned_by(session, config_of(RECKLESS, "adamerging"))
    assert values(merging)["agreement"] < values(merging)["averaging_agreement"] - 0.3
    assert values(merging, "alpha")["marginal_entropy"] < 0.1
    narrow, *_, lower = suspicions(merging.metrics)
    assert narrow == "alpha: 1 of 3 classes"
    assert re.fullmatch(r"agreement 0\.\d+, weight averaging 0\.\d+ \(.*alpha.*\)", lower)


def test_a_collapse_is_rolled_back(session: Session) -> None:
    config = config_of({**RECKLESS, "adamerging.keep": "best"}, "adamerging")
    merging = learned_by(session, config)
    found = values(merging)
    assert found["agreement"] >= found["agreement:start"]
    assert found["kept_step"] < merging.steps == 20
    assert not any("classes" in said for said in suspicions(merging.metrics))


def test_a_collapse_is_stopped_early(session: Session) -> None:
    trace: list[Progress] = []
    settings = {**RECKLESS, "adamerging.keep": "best", "adamerging.patience": 2}
    merging = learned_by(session, config_of(settings, "adamerging"), observe=trace.append)
    assert merging.steps == len(trace) == 10
    assert values(merging)["kept_step"] == 0
    assert values(merging)["agreement"] == values(merging)["agreement:start"]
