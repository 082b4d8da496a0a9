"""A whole exam on the tiny world: which rows there are, and that nothing is asked twice."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from distmerge.coordinator import model_answers, model_logits
from distmerge.evaluation import (
    MEAN,
    Exam,
    exam_metrics,
    routed_exam_metrics,
    uncertainty_auroc,
    uncertainty_ece,
)
from distmerge.methods.bd_merging.model import RoutedModel
from distmerge.methods.contract import Answers
from distmerge.results import Metric
from distmerge.run import Session
from distmerge.spec import ModelFiles
from distmerge.tasks import LEVELS, Role, with_levels
from tests.coordinator.sessions import session_of
from tests.methods.bd import base_of, routed
from tests.oracles import routing as oracle

ROUTED = {
    "routing_accuracy",
    "routing_weight",
    "accuracy_withheld",
    "accuracy_unified",
    "uncertainty_ece",
    "uncertainty_auroc",
}
PLAIN = {"accuracy", "ece"}
TASKS = ("alpha", "beta", "gamma")


@pytest.fixture(scope="module")
def session(world: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """The tiny world with corrupted images; a fourth task, not merged, looks like gamma."""
    session, folder = session_of(world), tmp_path_factory.mktemp("levels")
    corrupted = partial(with_levels, levels=LEVELS, seed=0, cache=Path(folder))
    tasks = tuple(corrupted(task) for task in session.material.tasks)
    unseen = replace(session.material.tasks[2], name="delta")
    heads = {**session.material.heads, "delta": session.material.heads["gamma"]}
    material = replace(session.material, tasks=tasks, unseen=(unseen,), heads=heads)
    return replace(session, material=material)


@pytest.fixture(scope="module")
def exam(session: Session) -> Exam:
    material = session.material
    return Exam(material.tasks, material.unseen, "agreement", LEVELS, 0, session.models)


@pytest.fixture(scope="module")
def model(session: Session) -> RoutedModel:
    trained = routed(session, {"steps": 60, "batch_size": 16, "lr": 0.003, "router_input": "mean"})
    return replace(trained, heads=session.material.heads)


@pytest.fixture(scope="module")
def asked(session: Session, exam: Exam, model: RoutedModel) -> list[tuple[str, Role]]:
    """Whose answers an exam asks for, in their order."""
    calls: list[tuple[str, Role]] = []

    def answers(task: str, role: Role) -> Answers:
        calls.append((task, role))
        return model_answers(session.material, model, task, role)

    routed_exam_metrics(exam, answers, model.heads)
    return calls


@pytest.fixture(scope="module")
def metrics(session: Session, exam: Exam, model: RoutedModel) -> tuple[Metric, ...]:
    answers = partial(model_answers, session.material, model)
    return routed_exam_metrics(exam, answers, model.heads)


def names(metrics: tuple[Metric, ...], suite: str, task: str = MEAN) -> set[str]:
    return {m.metric for m in metrics if (m.suite, m.task, m.corruption) == (suite, task, None)}


def values(metrics: tuple[Metric, ...], task: str) -> Mapping[str, float]:
    return {m.metric: m.value for m in metrics if (m.suite, m.task) == ("clean", task)}


def test_a_routed_model_answers_every_image_once(asked: list[tuple[str, Role]]) -> None:
    roles: tuple[Role, ...] = ("select", "report", "L1", "L2", "L3")
    expected = [*((task, role) for task in TASKS for role in roles), ("delta", "report")]
    assert sorted(asked) == sorted(expected)


@pytest.mark.parametrize("task", [*TASKS, MEAN])
@pytest.mark.parametrize("suite", ["clean", "corrupted"])
def test_routing_is_measured_on_clean_and_corrupted_images(
    metrics: tuple[Metric, ...], suite: str, task: str
) -> None:
    assert names(metrics, suite, task) == ROUTED | PLAIN


@pytest.mark.parametrize("name", sorted(ROUTED))
def test_every_level_has_its_rows(metrics: tuple[Metric, ...], name: str) -> None:
    found = [m.level for m in metrics if (m.suite, m.metric) == ("corrupted", name)]
    assert found == [level for level in LEVELS for _ in range(4)]


def test_of_unseen_tasks_no_routing_is_measured(metrics: tuple[Metric, ...]) -> None:
    assert names(metrics, "unseen", "delta") == PLAIN | {"uncertainty_ece", "uncertainty_auroc"}


def test_no_row_is_there_twice(metrics: tuple[Metric, ...]) -> None:
    places = [row._replace(value=0.0) for row in metrics]
    assert len(set(places)) == len(places)


def test_a_routed_models_other_rows_are_those_of_its_logits(
    session: Session, exam: Exam, model: RoutedModel, metrics: tuple[Metric, ...]
) -> None:
    plain = exam_metrics(exam, partial(model_logits, session.material, model))
    assert [row[:3] for row in plain] == [row[:3] for row in metrics[: len(plain)]]
    found = [row.value for row in metrics[: len(plain)]]
    assert found == pytest.approx([row.value for row in plain], abs=1e-5)


def test_a_plain_models_rows_say_nothing_of_routing(session: Session, exam: Exam) -> None:
    rows = exam_metrics(exam, partial(model_logits, session.material, base_of(session)))
    assert not {row.metric for row in rows} & ROUTED


@pytest.mark.parametrize("task", TASKS)
def test_the_rows_equal_the_oracle(
    session: Session, model: RoutedModel, metrics: tuple[Metric, ...], task: str
) -> None:
    expert, labels = TASKS.index(task), session.material.task(task).report.labels
    features, routing, uncertainty = model_answers(session.material, model, task, "report")
    logits = [model.heads[name](features).double().numpy() for name in TASKS]
    right = logits[expert].argmax(axis=1) == labels
    shares, u = routing.double().numpy(), uncertainty.numpy()
    expected = {
        "routing_accuracy": (shares.argmax(axis=1) == expert).mean(),
        "routing_weight": shares[:, expert].mean(),
        "accuracy_withheld": oracle.accuracy_withheld(shares, logits, labels, expert),
        "accuracy_unified": oracle.accuracy_unified(logits, labels, expert),
        "uncertainty_ece": oracle.uncertainty_ece(u, right),
        "uncertainty_auroc": uncertainty_auroc(uncertainty, torch.from_numpy(right)),
    }
    found = values(metrics, task)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert found["uncertainty_ece"] == uncertainty_ece(uncertainty, torch.from_numpy(right))


def test_a_trained_router_knows_more_than_a_guess(metrics: tuple[Metric, ...]) -> None:
    mean = values(metrics, MEAN)
    assert mean["routing_accuracy"] > 0.5
    assert mean["routing_weight"] > 1 / 3
    assert mean["accuracy_withheld"] <= min(mean["accuracy"], mean["routing_accuracy"])
    assert mean["accuracy_unified"] <= mean["accuracy"]
