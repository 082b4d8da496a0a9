"""How much a setting explains, on effects that are known."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from distmerge.errors import ConfigError
from distmerge.results import hyperparameter_effect
from distmerge.results.effect import _groups, _variance_explained
from tests.report.leaderboards import rows, run


@pytest.fixture
def stored(tmp_path: Path) -> pd.DataFrame:
    """Twelve runs: the score rises with the rate; the mode shifts it; the clamp does nothing."""
    return rows(
        tmp_path,
        *(
            replace(
                run(f"r{i}", "learner", i + 2.0 * (i % 2), 0.5),
                hyper={
                    "learner.lr": 10.0 ** (i - 12),
                    "learner.mode": ("slow", "fast")[i % 2],
                    "learner.clamp": i % 4 < 2,
                    "learner.steps": 10,
                },
            )
            for i in range(12)
        ),
    )


def test_settings_stand_by_how_much_they_explain(stored: pd.DataFrame) -> None:
    table = hyperparameter_effect(stored, "learner").set_index("setting")
    explained = table["variance_explained"].to_dict()
    assert list(explained) == ["learner.lr", "learner.mode", "learner.clamp"]
    assert explained["learner.lr"] > 0.6
    assert abs(explained["learner.clamp"]) < 0.2
    assert table["configurations"].tolist() == [12, 12, 12]


def test_only_numbers_have_a_rank_correlation(stored: pd.DataFrame) -> None:
    table = hyperparameter_effect(stored, "learner").set_index("setting")["rank_correlation"]
    assert table["learner.lr"] > 0.9
    assert table[["learner.mode", "learner.clamp"]].isna().all()


def test_variance_explained_is_epsilon_squared() -> None:
    groups, measured = pd.Series(["a", "a", "b", "b"]), pd.Series([1.0, 3.0, 5.0, 7.0])
    within, total = (2.0 + 2.0) / 2, 20.0 / 3
    assert _variance_explained(groups, measured) == pytest.approx(1 - within / total)


def test_noise_explains_nothing_on_average() -> None:
    generator = np.random.default_rng(0)
    found = [
        _variance_explained(
            _groups(pd.Series(generator.random(16))), pd.Series(generator.random(16))
        )
        for _ in range(150)
    ]
    assert np.mean(found) == pytest.approx(0, abs=0.06)  # four standard errors


def test_one_run_per_value_explains_nothing_that_can_be_told(tmp_path: Path) -> None:
    two = [
        replace(run(f"r{i}", "learner", i, 0.5), hyper={"learner.lr": 0.1 * (1 + i)})
        for i in range(2)
    ]
    (row,) = hyperparameter_effect(rows(tmp_path, *two), "learner").to_dict("records")
    assert math.isnan(row["variance_explained"])


def test_a_method_without_a_run_is_an_error(stored: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match=r"no run of 'fixer' with a finite score.*learner"):
        hyperparameter_effect(stored, "fixer")
