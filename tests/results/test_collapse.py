"""What of a run's rows is called a collapse."""

import pytest

from distmerge.results import Metric, suspicions

FINE = {
    "agreement": 0.75,
    "averaging_agreement": 0.5,
    "marginal_entropy": 0.8,
    "individual_entropy": 0.9,
    "predicted_classes": 1.0,
    "individual_classes": 31.0,
}


def rows(**tasks: dict[str, float]) -> list[Metric]:
    """Give the rows of a run whose tasks are fine but for what is given, and their means."""
    values = {task: {**FINE, **changed} for task, changed in tasks.items()}
    found = [
        Metric("adapt", task, name, value)
        for task, named in values.items()
        for name, value in named.items()
    ]
    for name in FINE:
        mean = sum(named[name] for named in values.values()) / len(values)
        found.append(Metric("adapt", "mean", name, mean))
    return found


def test_a_run_that_is_fine_is_not_suspect() -> None:
    assert suspicions(rows(textures={}, digits={})) == ()


def test_a_run_that_learned_nothing_is_not_suspect() -> None:
    assert suspicions([Metric("clean", "textures", "accuracy", 0.0)]) == ()


def test_a_task_of_few_classes_left_is_named_with_their_number() -> None:
    narrow = {"marginal_entropy": 0.44, "predicted_classes": 2 / 31}
    assert suspicions(rows(textures=narrow, digits={})) == ("textures: 2 of 31 classes",)


@pytest.mark.parametrize(("entropy", "suspect"), [(0.45, False), (0.4499, True)])
def test_suspect_is_below_half_of_the_individual_models_marginal_entropy(
    entropy: float, suspect: bool
) -> None:
    assert bool(suspicions(rows(textures={"marginal_entropy": entropy}))) is suspect


def test_a_task_of_few_classes_is_suspect_however_unsure_its_predictions_are() -> None:
    unsure = {"marginal_entropy": 0.99, "predicted_classes": 1 / 31}
    assert suspicions(rows(textures=unsure, digits={})) == ("textures: 1 of 31 classes",)


def test_a_model_that_saw_one_class_only_is_not_suspect() -> None:
    one = {"marginal_entropy": 0.0, "individual_entropy": 0.0}
    assert suspicions(rows(textures=one)) == ()


def test_less_agreement_than_weight_averaging_names_the_tasks_worst_first() -> None:
    tasks = rows(a={"agreement": 0.4}, b={"agreement": 0.1}, c={"agreement": 0.55})
    assert suspicions(tasks) == ("agreement 0.350, weight averaging 0.500 (b, a)",)


def test_one_task_below_weight_averaging_is_not_enough() -> None:
    assert suspicions(rows(a={"agreement": 0.4}, b={})) == ()


def test_equal_agreement_is_not_less_whatever_its_rounding() -> None:
    mixed = rows(a={"agreement": 0.1}, b={"agreement": 0.7}, c={"agreement": 0.7})
    same = [
        m._replace(value=0.5000000000000001) if m.metric[:9] == "averaging" else m for m in mixed
    ]
    assert suspicions(same) == ()


def test_both_are_said() -> None:
    bad = {"marginal_entropy": 0.0, "predicted_classes": 1 / 31, "agreement": 0.25}
    assert suspicions(rows(textures=bad)) == (
        "textures: 1 of 31 classes",
        "agreement 0.250, weight averaging 0.500 (textures)",
    )
