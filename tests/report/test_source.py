from dataclasses import replace
from pathlib import Path

import pytest

from distmerge.errors import ConfigError, ResultsError
from distmerge.report.source import read_study
from tests.report.results import LEARNED, STUDY, stored


def test_the_one_study_needs_no_name(full_root: str) -> None:
    assert read_study(full_root).name == STUDY


def test_numbers_are_means_over_the_seeds_of_the_best_configuration(full_root: str) -> None:
    results = read_study(full_root)
    assert results.chosen["learner"] == ("l0", "l1")
    found = results.mean_over_tasks("ece", "clean").set_index("method")["value"]
    assert found["learner"] == pytest.approx(0.2)


def test_an_unknown_study_is_an_error_that_names_the_known(full_root: str) -> None:
    with pytest.raises(ConfigError, match=f"no study 'other'; there are: {STUDY}"):
        read_study(full_root, "other")


def test_one_of_several_studies_has_to_be_named(tmp_path: Path) -> None:
    root = stored(tmp_path, LEARNED[0], replace(LEARNED[0], study="second"))
    with pytest.raises(ConfigError, match="holds 2 studies"):
        read_study(root)


def test_a_place_without_results_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no results here"):
        read_study(str(tmp_path))
