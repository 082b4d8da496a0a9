import os

import numpy as np
import pytest
import torch

from distmerge.coordinator import (
    Asked,
    FeatureBlock,
    TaskWorker,
    point_gradient,
)
from distmerge.errors import CapacityError, CheckpointError
from distmerge.methods.contract import PRETRAINED, Point
from distmerge.methods.losses import Teacher, mean_entropy
from distmerge.models import load_state
from distmerge.run import Session
from distmerge.spec import ModelFiles
from distmerge.taskvectors import Selection, selected
from tests.coordinator.draws import DRAW, START, TASKS, untaught
from tests.coordinator.sessions import session_of, source_of
from tests.world import TASK_NAMES


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world)


@pytest.fixture(scope="module")
def worker(world: ModelFiles, session: Session) -> TaskWorker:
    vectors = session.vectors
    return TaskWorker(
        source_of(world),
        ["alpha", PRETRAINED],
        base=vectors.base.numpy(),
        vectors=vectors.vectors.numpy(),
    )


def blocks(worker: TaskWorker, session: Session, model: str, block: int) -> list[FeatureBlock]:
    (key,) = (k for k in session.digests.keys if k[:3] == (model, "alpha", "select"))
    return list(worker.blocks(key, block))


def test_a_worker_says_who_it_is(worker: TaskWorker) -> None:
    assert worker.info() == (os.getpid(), ("alpha", PRETRAINED), "cpu")


@pytest.mark.parametrize("block", [1, 7, 16, 100])
@pytest.mark.parametrize("model", ["alpha", PRETRAINED])
def test_facts_do_not_depend_on_the_size_of_the_blocks(
    worker: TaskWorker, session: Session, model: str, block: int
) -> None:
    parts = blocks(worker, session, model, block)
    (whole,) = blocks(worker, session, model, 16)
    assert [len(part.features) for part in parts[:-1]] == [block] * (len(parts) - 1)
    for name, expected in whole._asdict().items():
        joined = np.concatenate([getattr(part, name) for part in parts])
        # A matrix product's rounding depends on the number of rows.
        np.testing.assert_allclose(joined, expected, rtol=1e-6, atol=1e-5)


def test_a_repeated_call_streams_the_same_numbers(worker: TaskWorker, session: Session) -> None:
    one, other = (blocks(worker, session, "alpha", 7) for _ in range(2))
    for a, b in zip(one, other, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_facts_are_those_of_the_models_own_checkpoint(
    worker: TaskWorker, session: Session, world: ModelFiles
) -> None:
    material, task = session.material, session.material.task("alpha")
    images = task.select.samples.batch(np.arange(16), material.config.preprocess)
    encoding = material.tower.encode(load_state(world.tasks[0].checkpoint), images)
    logits = material.heads["alpha"](encoding.features)
    (facts,) = blocks(worker, session, "alpha", 16)
    np.testing.assert_allclose(facts.layers, encoding.layers, rtol=0, atol=1e-6)
    np.testing.assert_allclose(facts.features, encoding.features, rtol=0, atol=1e-6)
    np.testing.assert_allclose(facts.logits, logits, rtol=0, atol=1e-6)
    np.testing.assert_allclose(facts.confidence, logits.softmax(1).amax(1), rtol=0, atol=1e-6)
    assert (facts.logits.argmax(1) == task.select.labels).mean() > 0.9


def test_models_that_do_not_fit_together_take_turns(world: ModelFiles, session: Session) -> None:
    worker, roomy = (TaskWorker(source_of(world), TASK_NAMES[:3], at_once=n) for n in (2, None))
    (key,) = (k for k in session.digests.keys if k[:3] == ("gamma", "gamma", "select"))
    assert worker.info().models == ("alpha", "beta")
    (there,), (expected,) = worker.blocks(key, 16), roomy.blocks(key, 16)
    assert worker.info().models == ("beta", "gamma")
    np.testing.assert_array_equal(there.features, expected.features)


def test_a_model_that_another_worker_had_is_pinned_when_it_is_asked_for(
    world: ModelFiles, session: Session
) -> None:
    worker = TaskWorker(source_of(world), ["alpha"])
    (key,) = (k for k in session.digests.keys if k[:3] == ("beta", "beta", "select"))
    list(worker.blocks(key, 16))
    assert worker.info().models == ("alpha", "beta")


def test_a_missing_checkpoint_is_named(world: ModelFiles) -> None:
    task = world.tasks[0].model_copy(update={"checkpoint": world.base.parent / "gone"})
    files = world.model_copy(update={"tasks": (task, *world.tasks[1:])})
    with pytest.raises(CheckpointError, match="gone: no such checkpoint"):
        TaskWorker(source_of(files), ["alpha"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_worker_without_its_gpu_does_not_start(world: ModelFiles) -> None:
    with pytest.raises(CapacityError, match="this process sees no GPU"):
        TaskWorker(source_of(world), [], device="cuda:0")


def test_a_worker_computes_the_gradient_of_its_tasks(worker: TaskWorker, session: Session) -> None:
    teachers = untaught(["gamma", "alpha"], DRAW)
    point = Point(session.vectors, START)
    asked = Asked.of(point, DRAW, mean_entropy, untaught(TASKS, DRAW))
    found = worker.gradient(asked, [*teachers], {})
    expected = point_gradient(session.material, point, DRAW, mean_entropy, teachers)
    assert found.loss == expected.loss
    assert torch.equal(found.coefficients, expected.coefficients)


def test_a_worker_thins_the_task_vectors_out_as_asked(worker: TaskWorker, session: Session) -> None:
    selection, teachers = Selection(density=0.2), untaught(TASKS, DRAW)
    point = Point(selected(session.vectors, selection), START)
    asked = Asked.of(point, DRAW, mean_entropy, teachers)
    found = worker.gradient(asked, TASKS, {})
    expected = point_gradient(session.material, point, DRAW, mean_entropy, teachers)
    assert torch.equal(found.coefficients, expected.coefficients)


def test_a_worker_without_vectors_has_no_gradient(world: ModelFiles, session: Session) -> None:
    point = Point(session.vectors, START)
    asked = Asked.of(point, DRAW, mean_entropy, untaught(TASKS, DRAW))
    with pytest.raises(AssertionError, match="started without task vectors"):
        TaskWorker(source_of(world), []).gradient(asked, TASKS, {})


def test_each_task_is_taught_by_its_own_model(session: Session) -> None:
    taught = {
        task: Teacher(torch.full((DRAW.size,), place), torch.rand(DRAW.size))
        for place, task in enumerate(TASKS)
    }
    asked = Asked.of(Point(session.vectors, START), DRAW, mean_entropy, taught)
    last, first = asked.teachers([TASKS[-1], TASKS[0]]).items()
    assert (last[0], first[0]) == (TASKS[-1], TASKS[0])
    assert torch.equal(last[1].labels, taught[TASKS[-1]].labels)
    assert torch.equal(first[1].confidence, taught[TASKS[0]].confidence)
