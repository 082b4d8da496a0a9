"""The main path: a run's metrics, its record and its identity."""

from collections.abc import Mapping
from dataclasses import fields, replace

import pytest
import torch

from distmerge.evaluation import MEAN
from distmerge.results import RunRecord
from distmerge.run import Session, named_record, references, run, run_id
from distmerge.spec import ModelFiles, Pipeline, RayConfig, RunConfig, Value
from tests.coordinator.sessions import config_of, ignored, session_of, tensors_of

SETTINGS: dict[str, Value] = {
    "adamerging.steps": 10,
    "adamerging.batch_size": 8,
    "surgery.steps": 100,
    "surgery.batch_size": 8,
}
VALUES: dict[str, Value] = {"adamerging.lr": 0.01, "adamerging.steps": 10}


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world)


def means(record: RunRecord) -> Mapping[tuple[str, str], float]:
    return {(m.suite, m.metric): m.value for m in record.metrics if m.task == MEAN}


def identity(session: Session, **study: object) -> str:
    changed = session.study.model_copy(update=study)
    return run_id(changed, session.digests, config_of(VALUES, "adamerging"))


def test_a_repeated_run_gives_the_same_model_and_metrics(session: Session) -> None:
    config = config_of(SETTINGS, "adamerging", "surgery")
    (one, first), (other, second) = (run(session, config, ignored) for _ in range(2))
    assert first.metrics == second.metrics
    assert first.run_id == second.run_id
    models = tensors_of(one), tensors_of(other)
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])


def test_a_run_records_what_was_asked_for_and_what_it_took(session: Session) -> None:
    config = config_of(SETTINGS, "adamerging", "surgery")
    _, record = run(session, config, ignored)
    assert (record.stages, record.seed, record.status) == ("adamerging+surgery", 0, "ok")
    assert record.hyper == config.values()
    assert record.hyper["surgery.rank"] == 16
    assert record.step == 10 + 3 * 100
    assert record.wall_s > 0
    assert record.gpu_s == 0
    assert record.peak_memory_bytes > 50_000_000
    blank = named_record(session, config)
    same = [f.name for f in fields(record) if getattr(record, f.name) == getattr(blank, f.name)]
    assert {"run_id", "hyper", "checkpoint_digests", "adapt_images"} <= set(same)


def test_a_run_is_measured_on_every_task_and_in_the_mean(session: Session) -> None:
    _, record = run(session, config_of({}, "weight_averaging"), ignored)
    measured = [("select", "agreement"), ("select", "entropy"), ("clean", "accuracy")]
    every = {
        (*place, task)
        for place in (*measured, ("clean", "ece"))
        for task in ("alpha", "beta", "gamma", MEAN)
    }
    rows = [(m.suite, m.metric, m.task) for m in record.metrics]
    assert len(rows) == 4 * 4 + 1
    assert set(rows) == {*every, ("select", "score:agreement", MEAN)}


def test_merging_beats_the_base_and_surgery_beats_merging(session: Session) -> None:
    base = means(references(session)[0])["clean", "accuracy"]
    found = [
        means(run(session, config_of(settings, *stages), ignored)[1])["clean", "accuracy"]
        for stages, settings in (
            (("task_arithmetic",), {}),
            (("task_arithmetic", "surgery"), {"surgery.steps": 300}),
        )
    ]
    assert base + 0.2 < found[0] < found[1] - 0.1


def test_the_individual_models_agree_with_themselves(session: Session) -> None:
    base, individual = references(session)
    assert (base.stages, individual.stages) == ("pretrained", "individual")
    assert means(individual)["select", "agreement"] == 1.0
    assert means(individual)["select", "score:agreement"] == 1.0
    assert means(individual)["clean", "accuracy"] > 0.9 > means(base)["clean", "accuracy"]


def test_the_pretrained_reference_is_a_merge_with_coefficients_zero(session: Session) -> None:
    zero = config_of({"task_arithmetic.scaling": 0.0}, "task_arithmetic")
    record = run(session, zero, ignored)[1]
    assert means(record) == pytest.approx(means(references(session)[0]), abs=1e-5)


def test_references_are_free_of_settings_and_steps(session: Session) -> None:
    ids = {record.run_id for record in references(session)}
    assert len(ids) == 2
    assert {record.step for record in references(session)} == {0}
    assert all(record.hyper == {} for record in references(session))


def test_the_criterion_accuracy_scores_by_labels(session: Session) -> None:
    study = session.study.model_copy(update={"select": "accuracy"})
    _, record = run(replace(session, study=study), config_of({}, "weight_averaging"), ignored)
    found = means(record)
    assert found["select", "score:accuracy"] == found["select", "accuracy"]


@pytest.mark.parametrize(
    "study",
    [{"study": "other"}, {"protocol": "transductive"}, {"select": "entropy"}],
    ids=lambda study: next(iter(study)),
)
def test_the_identity_changes_with_what_decides_the_numbers(
    session: Session, study: dict[str, object]
) -> None:
    assert identity(session, **study) != identity(session)


@pytest.mark.parametrize(
    "config",
    [
        config_of(VALUES, "adamerging", "surgery"),
        config_of({**VALUES, "adamerging.lr": 0.02}, "adamerging"),
        config_of({**VALUES, "adamerging.init": 0.4}, "adamerging"),
        config_of(VALUES, "adamerging", seed=1),
    ],
    ids=["stages", "a value", "a default", "seed"],
)
def test_the_identity_changes_with_the_configuration(session: Session, config: RunConfig) -> None:
    assert run_id(session.study, session.digests, config) != identity(session)


@pytest.mark.parametrize(
    "digests",
    [
        {"base": "x"},
        {"tower": "x"},
        {"images": "x"},
        {"checkpoints": {"alpha": "x"}},
        {"heads": {"alpha": "x"}},
    ],
    ids=lambda digests: next(iter(digests)),
)
def test_the_identity_changes_with_the_inputs(session: Session, digests: dict[str, object]) -> None:
    changed = replace(session.digests, **digests)  # type: ignore[arg-type]  # one field each
    config = config_of(VALUES, "adamerging")
    assert run_id(session.study, changed, config) != identity(session)


@pytest.mark.parametrize(
    "study",
    [
        {"storage": "s3://elsewhere"},
        {"ray": False},
        {"ray": RayConfig(actors=2, gradient="actors")},
        {"pipelines": (Pipeline(stages=("weight_averaging",), trials=50),)},
        {"sampler": "random"},
        {"block": 7},
    ],
    ids=lambda study: next(iter(study)),
)
def test_the_identity_does_not_change_with_where_and_how_it_is_computed(
    session: Session, study: dict[str, object]
) -> None:
    assert identity(session, **study) == identity(session)


def test_the_identity_does_not_depend_on_the_order_of_the_values(session: Session) -> None:
    backward = config_of(dict(reversed(VALUES.items())), "adamerging")
    assert run_id(session.study, session.digests, backward) == identity(session)
