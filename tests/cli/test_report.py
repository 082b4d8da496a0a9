import json
import shlex
from pathlib import Path

import pytest

from distmerge.cli import main
from distmerge.report import study_report
from distmerge.report.content import Table
from distmerge.results import leaderboard, load, runs
from distmerge.spec import ModelFiles
from tests.cli.messages import failure
from tests.report.results import LEARNED, LOST, stored
from tests.sweep.studies import PIPELINES, written


def test_a_sweep_in_json_is_one_document_and_its_report_one_page(
    world: ModelFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", str(written(world, tmp_path, ray=False)), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["failed"] == 0
    root, page, figures = str(tmp_path / "results"), tmp_path / "page.html", tmp_path / "png"
    assert main(["report", root, "-o", str(page), "--png", str(figures)]) == 0
    assert str(page) in capsys.readouterr().err
    text = page.read_text()
    for row in said["leaderboard"]:
        assert f">{row['method']}<" in text
        assert f"{100 * row['accuracy']:.1f}" in text
    assert "coefficients-adamerging" in text
    assert (figures / "tiny-leaderboard.png").is_file()


@pytest.mark.slow
def test_the_command_of_a_run_makes_its_numbers_again(world: ModelFiles, tmp_path: Path) -> None:
    study = str(written(world, tmp_path, ray=False, pipelines=PIPELINES[2:], seed=3))
    assert main(["sweep", study]) == 0
    root = str(tmp_path / "results")
    for run_id, command in commands(root, "tiny").items():
        assert main([study if word == "STUDY.yaml" else word for word in command[1:]]) == 0
        again = runs(load(root, f"again-{run_id}"))
        first = runs(load(root, "tiny")).loc[run_id]
        (repeated,) = again[again["method"] == first["method"]].to_dict("records")
        measures = [
            "seed",
            "score",
            *(n for n in map(str, again.columns) if n.startswith("accuracy")),
        ]
        assert [repeated[name] for name in measures] == [first[name] for name in measures]


def commands(root: str, study: str) -> dict[str, list[str]]:
    """Give the words of the command of every merged run of a report."""
    parts = next(
        one for one in study_report(root, study).sections if one.slug == "provenance"
    ).parts
    tables = [part for part in parts if isinstance(part, Table)]
    return {
        row[1]: shlex.split(cell)
        for table in tables
        for column in table.columns
        if column.is_code
        for row, cell in zip(table.rows, column.cells, strict=True)
        if cell.startswith("distmerge")
    }


def test_the_page_is_report_html_unless_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", stored(tmp_path / "results", *LEARNED, *LOST)]) == 0
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_markdown_is_printed_or_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = stored(tmp_path / "results", *LEARNED, *LOST)
    accuracy = leaderboard(load(root))["accuracy"].iloc[0]
    assert main(["report", root, "--markdown"]) == 0
    printed = capsys.readouterr().out
    assert f"| learner | {100 * accuracy:.1f}" in printed
    assert main(["report", root, "--markdown", "-o", str(tmp_path / "report.md")]) == 0
    assert (tmp_path / "report.md").read_text() == printed


def test_a_report_of_nothing_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no results here" in failure(capsys, "report", str(tmp_path / "absent"))


def test_a_page_that_cannot_be_written_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = stored(tmp_path / "results", *LEARNED)
    assert "cannot write the report" in failure(capsys, "report", root, "-o", str(tmp_path))


def test_a_plan_has_no_json(
    world: ModelFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = str(written(world, tmp_path))
    assert "leave out --json" in failure(capsys, "sweep", study, "--plan", "--json")


def test_a_served_report_writes_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = failure(capsys, "report", str(tmp_path), "--serve", "--markdown", "-o", "a.html")
    assert "--serve writes no file; leave out -o, --markdown" in said


def test_a_port_alone_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--port" in failure(capsys, "report", str(tmp_path), "--port", "1")
