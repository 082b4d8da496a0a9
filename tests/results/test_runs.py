"""One row per run, and its measures."""

import math
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from distmerge.errors import ConfigError
from distmerge.results import runs
from distmerge.results.runs import chosen_runs, configurations, gain, measure_columns
from tests.report.leaderboards import INDIVIDUAL, by_entropy, failed, rows, run

A = replace(run("a", "learner", 0.5, 0.5, 0.75), seed=0, hyper={"learner.lr": 0.1})
B = replace(run("b", "learner", 0.9, 0.25, 0.5), seed=1, hyper={"learner.lr": 0.1})
C = replace(run("c", "learner", 0.4, 1.0, 1.0), seed=0, hyper={"learner.lr": 0.2})


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    return runs(rows(tmp_path, INDIVIDUAL, A, B, C, failed("f", "learner")))


def test_a_run_that_ended_well_has_one_row(table: pd.DataFrame) -> None:
    assert sorted(table.index) == ["a", "b", "c", "i"]


def test_a_run_that_was_pruned_has_none(tmp_path: Path) -> None:
    assert runs(rows(tmp_path, replace(A, status="pruned"))).empty


def test_settings_and_measures_are_columns(table: pd.DataFrame) -> None:
    shown = table.loc[["a"], ["method", "learner.lr", "score", "accuracy", "accuracy.task1"]]
    assert shown.to_numpy().tolist() == [["learner", 0.1, 0.5, 0.625, 0.75]]


def test_settings_that_no_run_has_are_no_columns(table: pd.DataFrame) -> None:
    assert [name for name in table.columns if name.startswith("fixer.")] == []


def test_runs_that_differ_in_the_seed_alone_share_a_configuration(table: pd.DataFrame) -> None:
    numbers = table["configuration"]
    assert numbers["a"] == numbers["b"] != numbers["c"]
    assert table["repeats"].loc[["a", "b", "c"]].tolist() == [False, True, False]


def test_a_score_by_an_earlier_criterion_is_no_score(tmp_path: Path) -> None:
    found = runs(rows(tmp_path, A, by_entropy(replace(C, run_id="later"))))
    assert found["score"].isna().to_dict() == {"a": True, "later": False}


def test_costs_are_better_the_lower_they_are(table: pd.DataFrame) -> None:
    assert gain(table, "cost_s")["a"] == -1.5


def test_an_unknown_measure_is_an_error_that_names_the_known_ones(table: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match=r"no measure 'speed'.*score, accuracy, accuracy.task0"):
        gain(table, "speed")
    assert "cost_s" in measure_columns(table)


def test_the_best_run_stands_first_and_its_other_seeds_last(table: pd.DataFrame) -> None:
    assert chosen_runs(table)["run_id"].tolist() == ["a", "i", "b"]
    assert chosen_runs(table, "accuracy")["run_id"].tolist() == ["c", "i"]


def test_a_configuration_has_the_means_of_its_seeds(table: pd.DataFrame) -> None:
    found = configurations(table, ["accuracy"]).set_index("run_id").loc[["a"]]
    shown = found[["accuracy", "score", "seeds", "run_ids"]].to_numpy().tolist()
    assert shown == [[0.5, 0.7, 2, ("a", "b")]]
    assert found["spread"].tolist() == [pytest.approx(math.sqrt(2) / 8)]


def test_of_a_seed_that_was_run_twice_the_later_run_counts(tmp_path: Path) -> None:
    again = replace(A, run_id="z", started_at=A.started_at + timedelta(hours=1))
    found = configurations(runs(rows(tmp_path, A, again)), ["accuracy"])
    assert found["run_ids"].tolist() == [("z",)]


def test_a_configuration_without_a_finite_measure_is_left_out(tmp_path: Path) -> None:
    odd = run("odd", "fixer", math.inf, 0.5, 0.5)
    assert configurations(runs(rows(tmp_path, A, odd)), ["score"])["run_id"].tolist() == ["a"]
