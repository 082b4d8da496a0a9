"""Best runs, Pareto fronts, ablations and comparisons, on numbers small enough to check."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distmerge.errors import ConfigError, ResultsError
from distmerge.results import Metric, RunRecord, ablation, best, compare, leaderboard, load, pareto
from tests.report.leaderboards import INDIVIDUAL, STUDY, failed, rows, run


def tried(run_id: str, score: float, accuracy: float, wall_s: float, **hyper: float) -> RunRecord:
    """A run of the learner with settings."""
    settings = {f"learner.{name}": value for name, value in hyper.items()}
    found = run(run_id, "learner", score, accuracy)
    return replace(found, seed=0, wall_s=wall_s, hyper=settings)


FOUR = (
    tried("a", 0.9, 0.5, 1.0, lr=0.1, steps=10),
    tried("b", 0.8, 0.6, 2.0, lr=0.2, steps=10),
    tried("c", 0.7, 0.4, 3.0, lr=0.1, steps=20),
    tried("d", 0.6, 0.7, 4.0, lr=0.2, steps=20),
)
AGAIN = (
    replace(tried("a1", 0.1, 0.7, 1.0, lr=0.1, steps=10), seed=1),
    replace(tried("a2", 0.1, 0.6, 1.0, lr=0.1, steps=10), seed=2),
)


def lost(status: str) -> RunRecord:
    """A run that would win, had it ended well."""
    return replace(tried("x", 1.0, 1.0, 0.0, lr=0.3, steps=10), status=status)  # type: ignore[arg-type]  # a Status


@pytest.fixture
def stored(tmp_path: Path) -> pd.DataFrame:
    return rows(tmp_path, INDIVIDUAL, *FOUR, *AGAIN, failed("f", "learner"))


def test_the_best_by_score_is_that_of_the_leaderboard(stored: pd.DataFrame) -> None:
    board = leaderboard(stored).query("not reference")
    assert best(stored).index.tolist() == board["run_id"].tolist() == ["a"]


@pytest.mark.parametrize(("by", "run_id"), [("accuracy", "d"), ("cost_s", "a")])
def test_the_best_by_another_measure(by: str, run_id: str, stored: pd.DataFrame) -> None:
    assert best(stored, by=by).index.tolist() == [run_id]


@pytest.mark.parametrize("status", ["error", "pruned"])
@pytest.mark.parametrize("by", ["score", "accuracy", "cost_s"])
def test_a_run_that_did_not_end_well_never_wins(status: str, by: str, tmp_path: Path) -> None:
    found = rows(tmp_path, *FOUR, lost(status))
    assert "x" not in best(found, by=by).index
    assert all("x" not in ids for ids in pareto(found, objectives=[by])["run_ids"])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_run_with_a_number_that_is_not_finite_never_wins(value: float, tmp_path: Path) -> None:
    found = rows(tmp_path, *FOUR, tried("x", value, value, 0.0, lr=0.3, steps=10))
    assert best(found, by="accuracy").index.tolist() == ["d"]
    assert best(found, by="cost_s").index.tolist() == ["a"]
    assert pareto(found, objectives=["score"])["run_ids"].tolist() == [("a",)]


def test_no_configuration_of_a_pareto_front_is_dominated(stored: pd.DataFrame) -> None:
    front = pareto(stored)
    assert front["run_ids"].tolist() == [("d",), ("a", "a1", "a2")]
    assert front[["accuracy", "cost_s", "learner.lr"]].to_numpy().tolist() == [
        [0.7, 4.0, 0.2],
        [pytest.approx(0.6), 1.0, 0.1],
    ]


def test_clean_against_corrupted_accuracy(tmp_path: Path) -> None:
    hard = {"a": 0.3, "b": 0.2, "c": 0.5}
    levels = [
        replace(r, metrics=(*r.metrics, Metric("corrupted", "mean", "accuracy", v, level="L3")))
        for r, v in zip(FOUR, hard.values(), strict=False)
    ]
    front = pareto(rows(tmp_path, *levels), objectives=["accuracy", "mean.L3"])
    assert front["run_ids"].tolist() == [("b",), ("a",), ("c",)]


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=8))
def test_a_front_is_what_remains_without_the_dominated(points: list[tuple[int, int]]) -> None:
    metrics = [[("select", "score:agreement", x), ("clean", "accuracy", y)] for x, y in points]
    table = pd.DataFrame(
        {
            "run_id": f"r{i}", "study": "s", "method": "m", "status": "ok", "attempt": 0,
            "suite": suite, "metric": metric, "task": "mean", "value": float(value), "seed": 0,
            "m.i": i, "level": None, "corruption": None, "started_at": 0, "protocol": "p",
            "num_tasks": 1, "base_digest": "b", "checkpoint_digests": "c", "data_digest": "d",
            "wall_s": 0.0, "gpu_s": 0.0, "peak_memory_bytes": 0,
        }
        for i, pair in enumerate(metrics)
        for suite, metric, value in pair
    )  # fmt: skip
    wanted = {
        f"r{i}"
        for i, (x, y) in enumerate(points)
        if not any(a >= x and b >= y and (a, b) != (x, y) for a, b in points)
    }
    front = pareto(table, objectives=["score", "accuracy"])
    assert {run_id for ids in front["run_ids"] for run_id in ids} == wanted


def test_an_ablation_changes_one_setting_of_the_best(stored: pd.DataFrame) -> None:
    table = ablation(stored, "learner.lr")
    assert table[["value", "reference", "mean", "seeds"]].to_numpy().tolist() == [
        [0.1, True, pytest.approx(0.6), 3],
        [0.2, False, 0.6, 1],
    ]
    assert table["spread"].tolist() == [pytest.approx(0.1), pytest.approx(math.nan, nan_ok=True)]


def test_an_ablation_of_another_run(stored: pd.DataFrame) -> None:
    table = ablation(stored, "learner.steps", against="d", measure="cost_s")
    assert table[["value", "mean"]].to_numpy().tolist() == [[10, 2.0], [20, 4.0]]
    assert table["run_ids"].tolist() == [("b",), ("d",)]


def test_a_setting_that_no_run_has_is_an_error(stored: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match=r"no setting 'fixer.rank'.*learner.lr, learner.steps"):
        ablation(stored, "fixer.rank")


def test_an_ablation_against_a_run_that_failed_is_an_error(stored: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match="no run 'f' among those"):
        ablation(stored, "learner.lr", against="f")


def test_two_studies_are_compared_by_method_and_task(tmp_path: Path) -> None:
    first = rows(tmp_path / "1", INDIVIDUAL, run("a", "learner", 0.9, 0.5, 0.25))
    second = rows(tmp_path / "2", INDIVIDUAL, run("b", "learner", 0.9, 0.75, 0.25, 1.0))
    table = compare(first, second)
    assert table[["method", "task", "difference"]].to_numpy().tolist() == [
        ["learner", "mean", 0.125],
        ["learner", "task0", 0.25],
        ["learner", "task1", 0.0],
        ["individual", "mean", 0.0],
        ["individual", "task0", 0.0],
        ["individual", "task1", 0.0],
    ]
    assert table["standard_error"].isna().all()


def test_with_seeds_a_difference_has_its_standard_error(tmp_path: Path) -> None:
    seeds = [replace(run(f"r{i}", "learner", 0.9, 0.5 + i / 10), seed=i) for i in range(3)]
    first, second = rows(tmp_path / "1", *seeds), rows(tmp_path / "2", *seeds[:2])
    row = compare(first, second).iloc[0]
    assert row["difference"] == pytest.approx(0.55 - 0.6)
    assert row["standard_error"] == pytest.approx(math.sqrt(0.01 / 3 + 0.005 / 2))
    assert row[["seeds_first", "seeds_second"]].tolist() == [3, 2]


def test_what_two_studies_did_not_share_is_named(tmp_path: Path) -> None:
    found = run("a", "learner", 0.9, 0.5)
    other = rows(tmp_path / "2", replace(found, data_digest="other", protocol="transductive"))
    assert compare(rows(tmp_path / "1", found), other)["differing"].unique().tolist() == [
        "protocol, data_digest"
    ]


def older(root: Path) -> None:
    """Make the rows those of a version that did not store how task vectors were held."""
    for path in root.rglob("*.parquet"):
        table = pq.read_table(path, partitioning=None)
        pq.write_table(table.drop_columns(["bank"]), path)


def test_another_bank_is_something_that_two_studies_did_not_share(tmp_path: Path) -> None:
    found = run("a", "learner", 0.9, 0.5)
    other = rows(tmp_path / "2", replace(found, bank="bfloat16"))
    assert set(compare(rows(tmp_path / "1", found), other)["differing"]) == {"bank"}


@pytest.mark.parametrize("read", [load, pd.read_parquet])
def test_rows_older_than_the_column_had_the_only_bank_there_was(
    read: Callable[[str], pd.DataFrame], tmp_path: Path
) -> None:
    first, second = run("a", "learner", 0.9, 0.5), run("b", "learner", 0.9, 0.7)
    rows(tmp_path, first)
    older(tmp_path)
    assert compare(read(str(tmp_path)), read(str(tmp_path)))["differing"].unique().tolist() == [""]
    rows(tmp_path, replace(second, seed=first.seed + 1))
    assert pareto(load(str(tmp_path)))["run_ids"].tolist() == [("a", "b")]  # one configuration


def test_studies_without_a_common_method_do_not_compare(tmp_path: Path) -> None:
    first = rows(tmp_path / "1", run("a", "learner", 0.9, 0.5))
    with pytest.raises(ResultsError, match="no method or no task in common"):
        compare(first, rows(tmp_path / "2", run("b", "fixer", 0.9, 0.5)))


def test_the_questions_take_what_pandas_reads(stored: pd.DataFrame, tmp_path: Path) -> None:
    read = pd.read_parquet(tmp_path)
    pd.testing.assert_frame_equal(best(read, STUDY), best(stored, STUDY), check_dtype=False)
