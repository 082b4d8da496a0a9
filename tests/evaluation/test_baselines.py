"""What routing is measured against, on the tiny world and on facts made by hand."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from distmerge.coordinator import BlockFacts, FeatureBlock
from distmerge.evaluation import (
    MEAN,
    accuracy,
    nearest_centroid_metrics,
    one_expert_metrics,
)
from distmerge.methods.contract import PRETRAINED, Draw, Facts, Gradient, Point
from distmerge.methods.losses import BatchLoss
from distmerge.results import Metric
from distmerge.run import Session
from distmerge.spec import ModelFiles
from distmerge.tasks import Role
from tests.coordinator.sessions import session_of
from tests.oracles import routing as oracle

LABELS = {"a": torch.tensor([0, 0, 1, 1]), "b": torch.tensor([0, 1, 0, 1])}


@dataclass(frozen=True)
class Known:
    """A port that knows facts alone."""

    blocks: Mapping[tuple[str, str, str], FeatureBlock]

    def facts(self, model: str, task: str, role: Role) -> Facts:
        return BlockFacts([self.blocks[model, task, role]])

    def gradient(self, point: Point, draw: Draw, loss: BatchLoss) -> Gradient:
        raise AssertionError("no baseline learns")


def said(features: list[list[float]], classes: list[int]) -> FeatureBlock:
    """Give facts whose largest logits are of ``classes``."""
    logits = np.eye(2, dtype=np.float32)[classes]
    size = len(classes)
    nothing = np.zeros((size, 0, 3), dtype=np.float32)
    found = np.array(features, dtype=np.float32).reshape(size, -1)
    return FeatureBlock(nothing, found, logits, np.ones(size, dtype=np.float32))


# Images of task a lie at the right, those of b at the top; one of each lies on the other's side.
SEEN: dict[str, list[list[float]]] = {
    "a": [[1.0, 0], [9, 1], [5, 0], [1, 8]],
    "b": [[0, 1.0], [1, 9], [7, 1], [0, 2]],
}
PORT = Known(
    {
        **{(PRETRAINED, task, "report"): said(SEEN[task], [0] * 4) for task in SEEN},
        (PRETRAINED, "a", "adapt"): said([[3.0, 0], [5, 1]], [0, 0]),
        (PRETRAINED, "b", "adapt"): said([[0.0, 3], [1, 5]], [0, 0]),
        ("a", "a", "report"): said(SEEN["a"], [0, 0, 1, 1]),
        ("b", "b", "report"): said(SEEN["b"], [0, 1, 0, 0]),
        ("a", "b", "report"): said(SEEN["b"], [0, 0, 1, 1]),
        ("b", "a", "report"): said(SEEN["a"], [1, 1, 0, 1]),
    }
)


def values(metrics: tuple[Metric, ...], name: str) -> dict[str, float]:
    return {m.task: m.value for m in metrics if m.metric == name}


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world, "report")


def labels_of(session: Session) -> dict[str, torch.Tensor]:
    return {task.name: torch.from_numpy(task.report.labels) for task in session.material.tasks}


def test_the_best_model_answers_all_tasks() -> None:
    found = one_expert_metrics(PORT, LABELS)
    assert values(found, "accuracy") == {"a": 1.0, "b": 0.5, MEAN: 0.75}


def test_the_best_model_is_the_first_of_equals_whatever_else_it_says() -> None:
    backward = dict(reversed(LABELS.items()))
    assert values(one_expert_metrics(PORT, backward), "accuracy")[MEAN] == 0.75


def test_an_image_is_sent_where_it_looks_like_adapt_images() -> None:
    found = nearest_centroid_metrics(PORT, LABELS)
    assert values(found, "routing_accuracy") == {"a": 0.75, "b": 0.75, MEAN: 0.75}
    # a: the last image goes to b's model, which is right with a's head. b: the third goes to a's
    # model, which is wrong with b's head; b's own model errs on the last.
    assert values(found, "accuracy") == {"a": 1.0, "b": 0.5, MEAN: 0.75}
    assert values(found, "accuracy_withheld") == {"a": 0.75, "b": 0.5, MEAN: 0.625}


@pytest.mark.parametrize("metrics", [one_expert_metrics, nearest_centroid_metrics])
def test_only_clean_images_are_measured(metrics, session: Session) -> None:  # type: ignore[no-untyped-def]  # both
    found = metrics(session.models, labels_of(session))
    assert {row.suite for row in found} == {"clean"}
    assert {row.level for row in found} == {None}
    assert {row.metric for row in found} >= {"accuracy", "ece"}


def test_one_expert_is_the_best_row_of_the_table_of_models_and_tasks(session: Session) -> None:
    labels, models = labels_of(session), session.models
    table = [
        [accuracy(models.facts(model, task, "report").logits, labels[task]) for task in labels]
        for model in labels
    ]
    found = values(one_expert_metrics(models, labels), "accuracy")
    assert [found[task] for task in labels] == max(table, key=sum)
    assert found[MEAN] < 0.9  # each model is good on its own task alone


def test_nearest_centroids_on_the_tiny_world_equal_the_oracle(session: Session) -> None:
    labels, models = labels_of(session), session.models
    adapt = [models.facts(PRETRAINED, task, "adapt").features.double().numpy() for task in labels]
    found = nearest_centroid_metrics(models, labels)
    for expert, task in enumerate(labels):
        features = models.facts(PRETRAINED, task, "report").features.double().numpy()
        named = oracle.nearest_centroid(features, adapt)
        own = models.facts(task, task, "report").logits.argmax(dim=1).tolist()
        right = [n == expert and c == y for n, c, y in zip(named, own, labels[task], strict=True)]
        assert values(found, "routing_accuracy")[task] == named.count(expert) / 24
        assert values(found, "accuracy_withheld")[task] == sum(right) / 24
