"""One configuration with several seeds is one line of the leaderboard."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from distmerge.report import leaderboard_json
from distmerge.results import Metric, RunRecord, leaderboard
from tests.report.leaderboards import INDIVIDUAL, PRETRAINED, STUDY, failed, rows, run
from tests.report.test_render import text


def seeded(record: RunRecord, seed: int, rate: float = 0.1, wall_s: float = 1.5) -> RunRecord:
    return replace(record, seed=seed, hyper={"learner.lr": rate}, wall_s=wall_s)


def at_level(record: RunRecord, **means: float) -> RunRecord:
    more = [Metric("corrupted", "mean", "accuracy", v, level=name) for name, v in means.items()]
    return replace(record, metrics=(*record.metrics, *more))


THREE = (
    at_level(seeded(run("a", "learner", 0.5, 0.4, 0.6), 0, wall_s=1.0), L1=0.4, L3=0.3),
    at_level(seeded(run("b", "learner", 0.9, 0.6, 0.6), 1, wall_s=2.0), L1=0.4, L3=0.2),
    at_level(seeded(run("c", "learner", 0.1, 0.8, 0.6), 2, wall_s=6.0), L1=0.4, L3=0.1),
)


@pytest.fixture
def three(tmp_path: Path) -> pd.DataFrame:
    return leaderboard(rows(tmp_path, INDIVIDUAL, PRETRAINED, *THREE), STUDY)


def test_accuracies_and_cost_are_means_over_the_seeds(three: pd.DataFrame) -> None:
    shown = three.set_index("method").loc["learner"]
    expected = {"accuracy": 0.6, "accuracy.task0": 0.6, "accuracy.task1": 0.6}
    expected |= {"mean.L1": 0.4, "mean.L3": 0.2, "cost_s": 3.0, "total_s": 9.0}
    assert {name: shown[name] for name in expected} == pytest.approx(expected)


def test_the_spread_is_the_samples_standard_deviation(three: pd.DataFrame) -> None:
    shown = three.set_index("method")
    assert shown.loc["learner", "spread"] == pytest.approx(0.1)
    assert shown["spread"].isna().tolist() == [False, True, True]
    assert shown["seeds"].tolist() == [3, 1, 1]


def test_the_first_seed_stands_for_the_configuration(three: pd.DataFrame) -> None:
    shown = three.set_index("method").loc["learner"]
    assert (shown["run_id"], shown["score"], shown["trials"]) == ("a", 0.5, 1)


def test_a_repeats_score_plays_no_part_in_the_choice(tmp_path: Path) -> None:
    other = seeded(run("d", "learner", 0.6, 0.2, 0.2), 0, rate=0.2)
    table = leaderboard(rows(tmp_path, *THREE, other), STUDY)
    assert table[["run_id", "seeds", "trials"]].to_numpy().tolist() == [["d", 1, 2]]


@pytest.mark.parametrize(
    "change",
    [{"hyper": {"learner.lr": 0.2}}, {"data_digest": "x"}, {"protocol": "transductive"}],
    ids=lambda change: next(iter(change)),
)
def test_a_run_of_other_settings_or_inputs_is_no_seed_of_the_configuration(
    change: dict[str, object], tmp_path: Path
) -> None:
    other = replace(seeded(run("b", "learner", 0.1, 0.1), 1), **change)  # type: ignore[arg-type]  # one field each
    table = leaderboard(rows(tmp_path, seeded(run("a", "learner", 0.5, 0.5), 0), other), STUDY)
    assert table[["run_id", "seeds", "trials"]].to_numpy().tolist() == [["a", 1, 2]]


def test_a_seed_that_was_run_twice_counts_once_with_its_latest_run(tmp_path: Path) -> None:
    again = seeded(run("d", "learner", 0.5, 0.8, 0.8), 1)
    later = replace(again, started_at=again.started_at + timedelta(hours=1))
    shown = leaderboard(rows(tmp_path, *THREE[:2], later), STUDY).iloc[0]
    assert (shown["seeds"], shown["accuracy"]) == (2, pytest.approx((0.5 + 0.8) / 2))


def test_a_repeat_that_failed_is_counted_as_failed_and_in_no_mean(tmp_path: Path) -> None:
    lost = seeded(failed("d", "learner"), 3)
    shown = leaderboard(rows(tmp_path, *THREE, lost), STUDY).iloc[0]
    assert shown[["seeds", "trials", "failed"]].tolist() == [3, 1, 1]


def test_rows_read_by_pandas_alone_give_the_same_means(three: pd.DataFrame, tmp_path: Path) -> None:
    pd.testing.assert_frame_equal(leaderboard(pd.read_parquet(tmp_path), STUDY), three)


def test_rows_without_any_hyperparameter_column_still_read(tmp_path: Path) -> None:
    stored = rows(tmp_path, run("a", "learner", 0.5, 0.4))
    old = stored.drop(columns=[name for name in stored.columns if "." in name])
    assert leaderboard(old, STUDY)["accuracy"].tolist() == [0.4]


def test_lost_is_the_share_of_clean_accuracy_lost_at_the_highest_level(three: pd.DataFrame) -> None:
    lost = three.set_index("method")["lost"]
    assert lost["learner"] == pytest.approx((0.6 - 0.2) / 0.6)
    assert lost.isna().tolist() == [False, True, True]


def test_a_method_without_a_usable_run_has_no_seed(tmp_path: Path) -> None:
    table = leaderboard(rows(tmp_path, failed("f", "fixer"), *THREE), STUDY)
    assert table.set_index("method")["seeds"].to_dict() == {"learner": 3, "fixer": 0}


def test_the_terminal_shows_mean_spread_levels_and_loss(three: pd.DataFrame) -> None:
    printed = text(three)
    (line,) = (line for line in printed.splitlines() if line.startswith("learner"))
    cells = ["0.500", "60.0", "±10.0", "60.0", "60.0", "40.0", "20.0", "66.7", "90.0", "1", "3"]
    assert line.split()[1:12] == cells
    assert "lost: in percent of mean, at the highest level." in printed
    assert "±: standard deviation over seeds" in printed


def test_one_seed_and_no_levels_take_no_room(tmp_path: Path) -> None:
    printed = text(leaderboard(rows(tmp_path, run("a", "learner", 0.5, 0.4)), STUDY))
    assert [word in printed for word in ("±", "seeds", "lost")] == [False] * 3


def test_json_carries_spread_seeds_and_loss(three: pd.DataFrame) -> None:
    first, *references = json.loads(leaderboard_json(three))
    assert (first["seeds"], first["spread"]) == (3, pytest.approx(0.1))
    assert first["lost"] == pytest.approx(2 / 3)
    assert [entry["spread"] for entry in references] == [None, None]
