from dataclasses import replace
from pathlib import Path

from distmerge.report import Report, study_report
from distmerge.results import Metric
from tests.report.leaderboards import collapsed, run
from tests.report.results import LEARNED, stored


def test_the_headline_says_which_method_is_best_and_how_good(full_report: Report) -> None:
    assert full_report.headline[0].startswith("router is the most accurate of 3 merging methods")
    assert "73.3" in full_report.headline[0]
    assert "83.3" in full_report.headline[1]


def test_the_facts_count_the_runs(full_report: Report) -> None:
    assert dict(full_report.facts)["runs"] == "9 ended well, 1 failed, 1 pruned"


def test_failed_runs_are_a_caution(full_report: Report) -> None:
    assert any("1 runs failed" in caution for caution in full_report.cautions)


def test_runs_of_other_inputs_are_a_caution(tmp_path: Path) -> None:
    other = replace(LEARNED[1], stages="other", data_digest="else")
    report = study_report(stored(tmp_path, LEARNED[0], other))
    assert any("differ in data_digest" in caution for caution in report.cautions)


def test_a_collapse_is_a_caution(tmp_path: Path) -> None:
    suspect = collapsed(run("c0", "learner", 0.5, 0.5, 0.5))
    report = study_report(stored(tmp_path, suspect))
    assert any("may have collapsed" in caution for caution in report.cautions)


def test_numbers_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    bad = Metric("clean", "mean", "accuracy", float("nan"))
    kept = tuple(m for m in LEARNED[1].metrics if m[:3] != bad[:3])
    broken = replace(LEARNED[1], stages="broken", metrics=(bad, *kept))
    assert study_report(stored(tmp_path, LEARNED[0], broken)).series == ("learner",)
