import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from distmerge.errors import ResultsError
from distmerge.report import Report, page, study_report
from distmerge.report.content import Figure, Section, Table, percent
from distmerge.results import RunRecord, RunStore, leaderboard, load
from distmerge.spec import load_study
from tests.report.results import (
    FULL,
    LEARNED,
    LOST,
    REFERENCES,
    STUDY,
    TASKS,
    TENSORS,
    accurate,
    learned,
    pictures,
    stored,
    with_recipe,
)
from tests.spec.hypers import HYPERS

QUICKSTART = Path(__file__).parents[2] / "jobs" / "quickstart.yaml"


def section(report: Report, slug: str) -> Section:
    return next(one for one in report.sections if one.slug == slug)


def table(report: Report, slug: str, caption: str = "") -> dict[str, dict[str, str]]:
    """Give a section's table as cells by row and title."""
    parts = section(report, slug).parts
    found = next(p for p in parts if isinstance(p, Table) and p.caption.startswith(caption))
    titles = [column.title for column in found.columns]
    return {row[0]: dict(zip(titles, row, strict=True)) for row in found.rows}


def figure(report: Report, slug: str) -> Figure:
    return next(one for one in report.figures if one.slug == slug)


def test_a_study_with_all_data_has_every_section(full_report: Report) -> None:
    assert [one.slug for one in full_report.sections] == [
        "leaderboard",
        "tasks",
        "corruption",
        "unseen",
        "cost",
        "settings",
        "coefficients",
        "training",
        "representation",
        "routing",
        "calibration",
        "failures",
        "provenance",
    ]
    assert full_report.omitted == ()


def test_a_poor_study_says_what_is_left_out_and_why(tmp_path: Path) -> None:
    plain = accurate("a0", "average", 0.5, 0.5)
    kept = (*plain.metrics[:4], plain.metrics[-1])  # clean accuracy and the score
    poor = replace(plain, metrics=kept)
    report = study_report(stored(tmp_path, poor))
    assert {one.title: one.reason for one in report.omitted} == {
        "Corrupted images": "no run was measured on corrupted images (levels in the study file)",
        "Seen and unseen tasks": "no task was left out of the merge (unseen in the study file)",
        "Settings": "no setting was varied: one configuration per method",
        "Merging coefficients": "no recipe with coefficients lies beside the rows",
        "Learning, step by step": "no run kept how it learned: nothing was learned, or it is older",
        "Representation bias": "no run kept features of its images: the runs are older",
        "Routing": "no method has a router",
        "Calibration and uncertainty": "no run has calibration errors",
        "Failed and pruned runs": "every run ended well",
    }


def test_a_study_whose_runs_all_failed_shows_why(tmp_path: Path) -> None:
    report = study_report(stored(tmp_path, LOST[0]))
    assert [one.slug for one in report.sections] == ["failures"]
    assert "no run of a merging method ended well" in report.headline[0]
    assert table(report, "failures")["e0"]["message"] == "lr <too> high"


def test_the_leaderboard_has_the_numbers_of_the_query(full_root: str, full_report: Report) -> None:
    board = leaderboard(load(full_root)).set_index("method")
    shown = table(full_report, "leaderboard")
    assert list(shown) == list(board.index)
    for method, row in board.iterrows():
        cells = shown[str(method)]
        assert cells["accuracy, %"].split(" ")[0] == percent(row["accuracy"])
        assert cells["retained, %"] == percent(row["retained"])
        assert cells["lost, %"] == percent(row["lost"])
        assert cells["seeds"] == str(row["seeds"])


def test_spread_over_seeds_stands_behind_the_mean(full_report: Report) -> None:
    assert table(full_report, "leaderboard")["learner"]["accuracy, %"] == "64.3 ±1.4"


def test_every_task_has_its_column(full_root: str, full_report: Report) -> None:
    board = leaderboard(load(full_root)).set_index("method")
    shown = table(full_report, "tasks")
    for task in ("alpha", "beta", "gamma"):
        for method in board.index:
            assert shown[method][task] == percent(float(board[f"accuracy.{task}"][method]))


def test_losses_are_relative_to_the_clean_accuracy(full_report: Report) -> None:
    row = table(full_report, "corruption")["router"]
    assert (row["lost at L1, %"], row["lost at L3, %"]) == ("10.0", "30.0")


def test_means_of_levels_leave_out_the_rows_of_single_corruptions(full_report: Report) -> None:
    curve = figure(full_report, "corruption").frame
    assert curve["value"].min() > 0.1


def test_unseen_tasks_stand_beside_the_seen_ones(full_report: Report) -> None:
    row = table(full_report, "unseen")["router"]
    assert (row["seen tasks"], row["unseen tasks"], row["delta, unseen"]) == (
        "73.3",
        "35.0",
        "35.0",
    )


def test_the_front_joins_configurations_that_no_other_beats(full_report: Report) -> None:
    frame = figure(full_report, "cost").frame.set_index("label")
    assert frame["front"].to_dict() == dict.fromkeys(["r0", "l0", "l2", "l4", "l3", "a0"], True)
    assert list(table(full_report, "cost")) == ["router", "learner", "average"]


def test_effects_are_those_of_the_query(full_report: Report) -> None:
    rows = table(full_report, "settings", "Settings")
    assert set(rows) == {"learner.lr", "learner.steps"}
    assert rows["learner.lr"]["configurations"] == "4"


def test_lines_lead_over_the_settings_to_the_score(full_report: Report) -> None:
    frame = figure(full_report, "settings-learner").frame
    assert list(frame["axis"].unique())[-1] == "score"
    assert set(frame["label"]) == {"l0", "l2", "l3", "l4"}
    assert frame["position"].between(0, 1).all()
    ends = frame[(frame["axis"] == "lr") & (frame["text"] != "")]
    assert set(ends["text"]) == {"0.01", "0.05"}


def test_coefficients_come_from_the_best_runs_recipe(full_report: Report) -> None:
    frame = figure(full_report, "coefficients-learner").frame
    assert frame.groupby("label", sort=False)["value"].mean().round(3).to_dict() == {
        "alpha": 0.15,
        "beta": 0.55,
        "gamma": 0.95,
    }
    assert tuple(frame["name"].unique()) == TENSORS
    assert tuple(frame["block"].unique()) == ("stem", "0", "final")
    row = table(full_report, "coefficients")["learner"]
    assert (row["least"], row["most"], row["task vectors"]) == ("0.000", "1.100", "trimmed to 0.2")


def test_tensors_of_an_older_recipe_are_numbered(tmp_path: Path) -> None:
    root = stored(tmp_path, LEARNED[0])
    with_recipe(root, LEARNED[0])
    frame = figure(study_report(root), "coefficients-learner").frame
    assert frame["name"].iloc[0] == "tensor 1 of 4"
    assert "block" not in frame


def test_an_exported_model_names_the_tensors(tmp_path: Path) -> None:
    root = stored(tmp_path, LEARNED[0])
    with_recipe(root, LEARNED[0], is_exported=True)
    frame = figure(study_report(root), "coefficients-learner").frame
    assert tuple(frame["name"].unique()) == TENSORS


def test_a_recipe_that_is_torn_is_named(tmp_path: Path) -> None:
    root = stored(tmp_path, LEARNED[0])
    RunStore(root, HYPERS).write_file(f"_recipes/{STUDY}/l0.safetensors", b"torn")
    with pytest.raises(ResultsError, match="l0: not safetensors"):
        study_report(root)


def test_coefficients_move_from_step_to_step(full_report: Report) -> None:
    moving = figure(full_report, "moving-learner")
    assert moving.frames == [0, 10, 20, 30]
    last = moving.frame[(moving.frame["frame"] == 30) & (moving.frame["label"] == "alpha")]
    assert last.set_index("name")["value"].to_dict() == pytest.approx(
        {"stem": 0.0, "0": 0.15, "final": 0.3}, abs=1e-3
    )


def test_losses_are_shares_of_the_first_and_scores_in_percent(full_report: Report) -> None:
    assert figure(full_report, "losses").frame["value"].tolist() == [1.0, 0.75, 0.5]
    assert figure(full_report, "scores").frame["value"].tolist() == pytest.approx([50, 60])
    row = table(full_report, "training")["learner"]
    assert (row["first loss"], row["last loss"], row["steps"]) == ("2", "1", "30")


def test_a_correction_stands_beside_what_it_corrects(full_report: Report) -> None:
    parts = section(full_report, "representation").parts
    distances = next(p for p in parts if isinstance(p, Table))
    assert [row[:2] for row in distances.rows] == [
        ("router", "merged"),
        ("learner", "merged"),
        ("learner", "corrected"),
    ]
    assert [row[-1] for row in distances.rows] == ["0.400", "0.400", "0.200"]


def test_features_are_drawn_in_a_panel_per_task(full_report: Report) -> None:
    frame = figure(full_report, "features-learner").frame
    assert set(frame["label"]) == {"alpha", "beta", "gamma"}
    assert set(frame["series"]) == {"individual", "merged", "corrected"}
    assert set(figure(full_report, "features-router").series) == {"individual", "merged"}


def test_distances_of_layers_are_means_over_tasks(full_report: Report) -> None:
    assert figure(full_report, "layers").frame["value"].tolist() == pytest.approx([0.1, 0.3])


def test_images_are_counted_by_the_task_that_they_are_sent_to(full_report: Report) -> None:
    sent = figure(full_report, "sent-router").table
    assert sent is not None
    assert sent.rows[1] == ("beta", "0.0", "80.0", "20.0")


def test_weights_are_shown_image_by_image(full_report: Report) -> None:
    frame = figure(full_report, "weights-router").frame
    assert len(frame) == 3 * 3 * 6
    assert frame["place"].nunique() == 3 * 6


def test_empty_bins_are_not_drawn(full_report: Report) -> None:
    frame = figure(full_report, "reliability-uncertainty").frame
    assert len(frame[frame["series"] == "router"]) == 7
    assert figure(full_report, "reliability-calibration").frame["value"].max() == 100


@pytest.mark.parametrize("torn", [b"torn", b"\x02\0\0\0\0\0\0\0{}"])
def test_pictures_that_are_torn_are_named(torn: bytes, tmp_path: Path) -> None:
    root = stored(tmp_path, replace(LEARNED[0], pictures=torn))
    with pytest.raises(ResultsError, match=r"_pictures/.*l0.safetensors: no"):
        study_report(root)


def test_routing_is_shown_task_by_task(full_report: Report) -> None:
    rows = table(full_report, "routing")
    assert list(rows) == ["alpha", "beta", "gamma", "mean"]
    assert rows["beta"]["sent to their own task, %"] == "60.0"
    assert rows["mean"]["accuracy, task found, %"] == "40.0"


def test_features_that_were_not_finite_are_left_out(tmp_path: Path) -> None:
    record = replace(LEARNED[0], pictures=pictures(lost=("alpha",)))
    report = study_report(stored(tmp_path, record))
    assert set(figure(report, "features-learner").frame["label"]) == {"beta", "gamma"}
    assert table(report, "representation")["learner"]["alpha"] == "-"
    assert "layers" not in {one.slug for one in report.figures}
    assert page(report)


def test_a_run_without_finite_features_has_no_picture_of_them(tmp_path: Path) -> None:
    record = replace(LEARNED[0], pictures=pictures(lost=TASKS))
    report = study_report(stored(tmp_path, record))
    assert "representation" not in {one.slug for one in report.sections}


@pytest.mark.parametrize("record", [REFERENCES[0], LOST[0]], ids=["reference", "failed"])
def test_the_first_run_of_a_study_is_a_report(record: RunRecord, tmp_path: Path) -> None:
    assert page(study_report(stored(tmp_path, record)))


def test_uncertainty_is_shown_of_methods_that_have_it(full_report: Report) -> None:
    rows = table(full_report, "calibration", "What the uncertainty of router")
    assert rows["clean"]["AUROC"] == "0.800"


def test_failed_and_pruned_runs_are_listed(full_report: Report) -> None:
    rows = table(full_report, "failures")
    assert {run: row["status"] for run, row in rows.items()} == {"e0": "error", "e1": "pruned"}


def test_all_runs_that_ended_well_have_a_command(full_report: Report) -> None:
    shown = {
        row[1]
        for part in section(full_report, "provenance").parts
        if isinstance(part, Table) and any(column.is_code for column in part.columns)
        for row in part.rows
    }
    assert shown == {record.run_id for record in FULL if record.status == "ok"}


def test_a_command_asks_for_exactly_that_run(full_report: Report, tmp_path: Path) -> None:
    parts = section(full_report, "provenance").parts
    chosen = next(p for p in parts if isinstance(p, Table) and p.caption.startswith("The runs"))
    titles = [column.title for column in chosen.columns]
    row = next(row for row in chosen.rows if row[1] == "l1")
    words = shlex.split(row[titles.index("command")])
    assert words[:3] == ["distmerge", "sweep", "STUDY.yaml"]
    study = load_study(QUICKSTART, words[3:], HYPERS)
    assert (list(study.seeds), study.study) == ([1], "again-l1")
    assert study.alternatives[0].name == "learner"
    assert study.alternatives[0].fixed() == LEARNED[1].hyper


def test_a_reference_needs_no_command(full_report: Report) -> None:
    parts = section(full_report, "provenance").parts
    chosen = next(p for p in parts if isinstance(p, Table) and p.caption.startswith("The runs"))
    commands = next(column for column in chosen.columns if column.is_code)
    by_run = dict(zip((row[1] for row in chosen.rows), commands.cells, strict=True))
    assert by_run[REFERENCES[0].run_id] == "every sweep of the study measures it"


def test_a_run_without_a_score_is_in_the_provenance_alone(tmp_path: Path) -> None:
    report = study_report(stored(tmp_path, accurate("a0", "average", 0.5)))
    assert [one.slug for one in report.sections] == ["cost", "provenance"]
    assert ("Leaderboard", "no run ended well") in {(o.title, o.reason) for o in report.omitted}


def test_one_run_is_a_report(tmp_path: Path) -> None:
    report = study_report(stored(tmp_path, learned("l0", 0.5, 0.01)))
    assert "One seed" in report.cautions[-1]
    assert section(report, "leaderboard").parts
