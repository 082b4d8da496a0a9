from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from distmerge.coordinator import BlockFacts, FeatureBlock, LocalModels, optimise
from distmerge.errors import ConfigError
from distmerge.methods.contract import MergedModel, Plan, Scope
from distmerge.methods.losses import Teacher
from distmerge.methods.tinting import Tinting
from distmerge.methods.tinting.stage import (
    build,
    confident_cross_pseudo,
    cross_pseudo,
    kept,
    tinted_tensors,
)
from distmerge.run import Session
from distmerge.spec import ModelFiles, Value
from distmerge.tasks import batch_indices
from tests.coordinator.sessions import config_of, ignored, learned_by, merged_by, session_of

# The golden example of algorithms.md 3.7.
LOGITS = torch.tensor([[1.0, 0, 0], [0, 3, 0], [0, 0.2, 0]])
TEACHER_LOGITS = torch.tensor([[2.0, 0, 0], [1, 0, 0], [0, 0, 0.5]])
CONFIDENCE, LABELS = TEACHER_LOGITS.softmax(dim=1).max(dim=1)
TEACHER = Teacher(LABELS, CONFIDENCE)
QUICK: dict[str, Value] = {"tinting.steps": 8, "tinting.batch_size": 8}


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world)


def plan(session: Session, hyper: Tinting) -> Plan:
    material = session.material
    base = MergedModel.pretrained(material.tower, session.vectors, material.heads)
    adapt = {task.name: task.adapt for task in material.tasks}
    scope = Scope(session.models, adapt, lambda *_: torch.zeros(1, 1), lambda *_: 0.0, 0)
    return build(hyper, base, scope)


def test_the_golden_example_keeps_who_agrees_or_is_as_confident() -> None:
    assert TEACHER.labels.tolist() == [0, 0, 2]
    assert TEACHER.confidence.tolist() == pytest.approx([0.786986, 0.576117, 0.451863], abs=1e-6)
    assert kept(LOGITS, TEACHER).tolist() == [True, False, True]


def test_the_golden_example_gives_its_losses() -> None:
    each = cross_entropy(LOGITS, TEACHER.labels, reduction="none")
    assert each.tolist() == pytest.approx([0.551445, 3.094923, 1.169817], abs=1e-6)
    assert confident_cross_pseudo(LOGITS, TEACHER).item() == pytest.approx(0.860631, abs=1e-6)
    assert cross_pseudo(LOGITS, TEACHER).item() == pytest.approx(1.605395, abs=1e-6)


@pytest.mark.parametrize("constant", [-7.0, 100.0])
def test_the_selection_does_not_depend_on_a_constant_added_to_the_logits(constant: float) -> None:
    assert torch.equal(kept(LOGITS + constant, TEACHER), kept(LOGITS, TEACHER))


def test_a_batch_of_which_nothing_is_kept_has_a_loss_without_a_gradient() -> None:
    logits = LOGITS[1:2].clone().requires_grad_()
    loss = confident_cross_pseudo(logits, Teacher(LABELS[1:2], CONFIDENCE[1:2]))
    assert loss.item() == 0
    assert not loss.requires_grad


def test_it_starts_as_task_arithmetic(session: Session) -> None:
    started = plan(session, Tinting(init=0.3)).result()
    arithmetic = merged_by(session, config_of({}, "task_arithmetic")).model
    assert torch.equal(started.weights, arithmetic.weights)
    for task in session.material.tasks:
        images = task.report.samples.batch(
            torch.arange(8).numpy(), session.material.config.preprocess
        )
        torch.testing.assert_close(
            started.logits(images, task.name), arithmetic.logits(images, task.name)
        )


@pytest.mark.parametrize(
    "layer", ["head", "attn.in_proj", "attn.out_proj", "mlp.c_fc", "mlp.c_proj"]
)
def test_each_layer_can_be_a_task_s_own_and_learns(session: Session, layer: str) -> None:
    settings = {**QUICK, "tinting.layer": layer}
    model = merged_by(session, config_of(settings, "tinting")).model
    arithmetic = merged_by(session, config_of({}, "task_arithmetic")).model
    assert set(model.own) == {"alpha", "beta", "gamma"}
    for task, named in model.own.items():
        start = tinted_tensors(arithmetic, task, layer)
        assert named.keys() == start.keys()
        assert len(named) == 2
        assert any(not torch.equal(named[name], start[name]) for name in named)


@pytest.mark.parametrize("schedule", ["joint", "sequential"])
@pytest.mark.parametrize("loss", ["crosspseudo", "crosspseudoconf", "entropy"])
def test_the_loss_falls(session: Session, schedule: str, loss: str) -> None:
    hyper = Tinting.model_validate(
        {"steps": 20, "batch_size": 16, "schedule": schedule, "loss": loss}
    )
    (problem,) = plan(session, hyper).problems
    losses: list[float] = []
    optimise(problem, lambda progress: losses.append(progress.loss))
    count = 3 if schedule == "sequential" else 1
    assert len(losses) == 20 * count
    assert sum(losses[-3 * count :]) < sum(losses[: 3 * count])


def test_a_sequential_step_moves_the_layer_of_one_task(session: Session) -> None:
    hyper = Tinting(schedule="sequential", steps=1, batch_size=8)
    planned = plan(session, hyper)
    (problem,) = planned.problems
    before = {t: v["head.weight"].clone() for t, v in planned.result().own.items()}
    optimise(replace(problem, steps=1), ignored)
    moved = [
        t for t, v in planned.result().own.items() if not torch.equal(v["head.weight"], before[t])
    ]
    assert len(moved) == 1
    optimise(replace(problem, steps=3), ignored)
    assert all(
        not torch.equal(v["head.weight"], before[t]) for t, v in planned.result().own.items()
    )


@pytest.mark.parametrize("schedule", ["joint", "sequential"])
def test_the_best_checked_layers_and_coefficients_are_kept(session: Session, schedule: str) -> None:
    settings: dict[str, Value] = {
        **QUICK,
        "tinting.lr": 50.0,
        "tinting.coefficient_lr": 1.0,
        "tinting.loss": "entropy",
        "tinting.schedule": schedule,
        "tinting.check_every": 2,
    }

    def mean(keep: str) -> dict[str, float]:
        config = config_of({**settings, "tinting.keep": keep}, "tinting")
        return {m.metric: m.value for m in learned_by(session, config).metrics if m.task == "mean"}

    last, best = mean("last"), mean("best")
    assert last["agreement"] < last["agreement:start"]
    assert best["agreement"] >= best["agreement:start"]


def contradicted(session: Session) -> Session:
    """Give a session whose individual models name, without confidence, what is least likely."""
    assert isinstance(session.models, LocalModels)
    arithmetic = merged_by(session, config_of({}, "task_arithmetic")).model
    bank = dict(session.models.bank)
    for key, facts in session.models.bank.items():
        if key.role == "adapt" and key.model == key.task:
            images = session.material.task(key.task).adapt
            every = images.batch(np.arange(len(images)), session.material.config.preprocess)
            logits = -arithmetic.logits(every, key.task).clone()
            doubts = np.zeros(len(images), np.float32)
            layers, features = facts.layers.numpy(), facts.features.numpy()
            bank[key] = BlockFacts([FeatureBlock(layers, features, logits.numpy(), doubts)])
    return replace(session, models=replace(session.models, bank=bank))


def test_a_round_without_any_kept_image_moves_nothing(session: Session) -> None:
    planned = plan(contradicted(session), Tinting(steps=2, batch_size=8))
    (problem,) = planned.problems
    before = [parameter.clone() for parameter in problem.parameters]
    assert problem.backward(0) == 0
    assert all(parameter.grad is None for parameter in problem.parameters)
    optimise(problem, ignored)
    assert all(torch.equal(a, b) for a, b in zip(before, problem.parameters, strict=True))


def test_without_a_rate_for_the_coefficients_heads_are_trained_on_fixed_features(
    session: Session,
) -> None:
    settings = {**QUICK, "tinting.steps": 5, "tinting.loss": "crosspseudo"}
    still = config_of({**settings, "tinting.coefficient_lr": 0.0}, "tinting")
    model = merged_by(session, still).model
    expected = trained_head(session, "beta", steps=5)
    torch.testing.assert_close(model.own["beta"]["head.weight"], expected, rtol=0, atol=1e-5)


def trained_head(session: Session, name: str, *, steps: int) -> Tensor:
    """Train one head alone on features of task arithmetic, computed once."""
    task, head = session.material.task(name), session.material.heads[name]
    model = merged_by(session, config_of({}, "task_arithmetic")).model
    everything = task.adapt.batch(torch.arange(40).numpy(), session.material.config.preprocess)
    features = model.tower_features(everything, name).clone()
    labels = session.models.facts(name, name, "adapt").logits.argmax(dim=1)
    weight = head.weight.clone().requires_grad_()
    bias = head.bias.clone().requires_grad_()
    optimizer = torch.optim.Adam([weight, bias], lr=1e-2)
    for step in range(steps):
        index = torch.from_numpy(batch_indices(0, name, step, size=8, available=40))
        optimizer.zero_grad()
        logits = replace(head, weight=weight, bias=bias)(features[index])
        cross_entropy(logits, labels[index]).backward()
        optimizer.step()
    return weight.detach()


def test_a_layer_that_the_tower_has_not_is_refused(session: Session) -> None:
    model = MergedModel.pretrained(session.material.tower, session.vectors, {})
    with pytest.raises(ConfigError, match=r"the tower has no mlp\.fc9; set tinting\.layer: head"):
        tinted_tensors(model, "alpha", "mlp.fc9")
