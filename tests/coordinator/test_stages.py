from dataclasses import replace
from typing import NoReturn

import numpy as np
import pytest
import torch

from distmerge.coordinator import LocalModels, Progress, model_logits
from distmerge.coordinator.stages import model_features
from distmerge.errors import ConfigError
from distmerge.methods.contract import MergedModel
from distmerge.run import Session
from distmerge.spec import ModelFiles, Value
from distmerge.tasks import ROLES, LabelledSamples, Role, Samples
from tests.coordinator.sessions import config_of, learned_by, merged_by, session_of, tensors_of

QUICK: dict[str, Value] = {"adamerging.steps": 5, "adamerging.batch_size": 4}
BEST: dict[str, Value] = {**QUICK, "adamerging.keep": "best", "adamerging.check_every": 2}
SURGERY: dict[str, Value] = {"surgery.steps": 5, "surgery.batch_size": 4}
ROUTED: dict[str, Value] = {
    "bd_merging.head_steps": 3,
    "bd_merging.warm_up": 3,
    "bd_merging.steps": 3,
    "bd_merging.batch_size": 4,
}


class Sealed(LabelledSamples):
    """Images whose labels must not be read."""

    def __init__(self, images: Samples) -> None:
        object.__setattr__(self, "images", images)

    @property
    def labels(self) -> NoReturn:
        raise AssertionError("a label was read")


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world)


@pytest.fixture(scope="module")
def sealed(session: Session) -> Session:
    tasks = tuple(
        replace(task, select=Sealed(task.select.samples), report=Sealed(task.report.samples))
        for task in session.material.tasks
    )
    material = replace(session.material, tasks=tasks)
    assert isinstance(session.models, LocalModels)
    models = replace(session.models, material=material)
    return replace(session, material=material, models=models)


def test_sealed_labels_cannot_be_read(sealed: Session) -> None:
    with pytest.raises(AssertionError, match="a label was read"):
        _ = sealed.material.tasks[0].report.labels


@pytest.mark.parametrize(
    ("stages", "settings"),
    [
        (("weight_averaging",), {}),
        (("task_arithmetic",), {}),
        (("adamerging",), QUICK),
        (("adamerging",), BEST),
        (("adamerging", "surgery"), {**QUICK, **SURGERY}),
        (("bd_merging",), ROUTED),
    ],
    ids=["averaging", "arithmetic", "adamerging", "adamerging best", "surgery", "routed"],
)
def test_no_stage_reads_a_label(
    session: Session, sealed: Session, stages: tuple[str, ...], settings: dict[str, Value]
) -> None:
    config = config_of(settings, *stages)
    blind, seeing = learned_by(sealed, config), learned_by(session, config)
    one, other = tensors_of(blind.model), tensors_of(seeing.model)
    assert all(torch.equal(one[name], other[name]) for name in other)


@pytest.mark.parametrize("role", ROLES)
def test_a_methods_images_carry_no_labels(session: Session, role: Role) -> None:
    images = session.material.tasks[0].samples(role)
    assert type(images) is Samples
    assert vars(images).keys() == {"array", "digest"}


def test_a_stage_stands_on_the_model_of_the_one_before(session: Session) -> None:
    alone = merged_by(session, config_of(QUICK, "adamerging"))
    both = merged_by(session, config_of({**QUICK, **SURGERY}, "adamerging", "surgery"))
    assert torch.equal(both.model.weights, alone.model.weights)
    assert both.model.corrections.keys() == {"alpha", "beta", "gamma"}
    assert not alone.model.corrections


@pytest.mark.parametrize(
    ("stages", "steps"),
    [(("task_arithmetic",), 0), (("adamerging",), 5), (("adamerging", "surgery"), 20)],
)
def test_the_steps_of_all_problems_are_counted_and_observed(
    session: Session, stages: tuple[str, ...], steps: int
) -> None:
    trace: list[Progress] = []
    settings = {k: v for k, v in {**QUICK, **SURGERY}.items() if k.split(".")[0] in stages}
    merging = merged_by(session, config_of(settings, *stages), observe=trace.append)
    assert merging.steps == len(trace) == steps


@pytest.fixture(scope="module")
def model(session: Session) -> MergedModel:
    settings = {"surgery.steps": 20}
    return merged_by(session, config_of(settings, "task_arithmetic", "surgery")).model


@pytest.mark.parametrize("role", ROLES)
def test_logits_are_those_of_the_whole_model_on_every_image_of_a_role(
    session: Session, model: MergedModel, role: Role
) -> None:
    images = session.material.task("beta").samples(role)
    batch = images.batch(np.arange(len(images)), session.material.config.preprocess)
    logits = model_logits(session.material, model, "beta", role)
    assert not logits.requires_grad
    torch.testing.assert_close(logits, model.logits(batch, "beta"), rtol=0, atol=1e-5)


def test_a_routed_models_logits_are_those_of_the_whole_model(session: Session) -> None:
    model = learned_by(session, config_of(ROUTED, "bd_merging")).model
    images = session.material.task("beta").report.samples
    batch = images.batch(np.arange(len(images)), session.material.config.preprocess)
    logits = model_logits(session.material, model, "beta", "report")
    torch.testing.assert_close(logits, model.logits(batch, "beta"), rtol=0, atol=1e-5)


def test_no_stage_follows_a_routed_model(session: Session) -> None:
    with pytest.raises(ConfigError, match=r"surgery follows a method whose model is routed"):
        learned_by(session, config_of({**ROUTED, **SURGERY}, "bd_merging", "surgery"))


def test_features_of_many_images_come_in_their_order(session: Session, model: MergedModel) -> None:
    few = session.material.task("alpha").adapt
    many = Samples(np.tile(few.array, (7, 1, 1, 1)), "many")  # 280 images, over two forwards
    found = model_features(session.material, model, many, "alpha")
    once = model_features(session.material, model, few, "alpha")
    torch.testing.assert_close(found, once.repeat(7, 1), rtol=0, atol=1e-5)


def test_every_method_says_which_problem_it_solves(session: Session) -> None:
    trace: list[Progress] = []
    config = config_of({**QUICK, **SURGERY}, "adamerging", "surgery")
    merged_by(session, config, observe=trace.append)
    assert list(dict.fromkeys(progress.problem for progress in trace)) == [
        "coefficients",
        "surgery of alpha",
        "surgery of beta",
        "surgery of gamma",
    ]
