import json
from dataclasses import replace
from pathlib import Path

import pytest

from distmerge.cli import main
from distmerge.results import RunStore
from tests.cli.messages import failure
from tests.report.leaderboards import INDIVIDUAL, STUDY, run
from tests.spec.hypers import HYPERS

LEARNED = run("a", "learner", 0.9, 0.5, 0.25)


@pytest.fixture
def root(tmp_path: Path) -> str:
    store = RunStore(str(tmp_path / "results"), HYPERS)
    rates = {"a": 0.1, "b": 0.2, "c": 0.3}
    for run_id, rate in rates.items():
        store.append(replace(LEARNED, run_id=run_id, hyper={"learner.lr": rate}))
        store.write_file(f"_recipes/{STUDY}/{run_id}.safetensors", b"")
    store.append(INDIVIDUAL)
    return store.root


def test_a_whole_dataset_is_said_to_be_whole(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", "check", root]) == 0
    assert capsys.readouterr().out == f"{root}: no findings\n"


def test_a_finding_is_one_line_and_exit_code_one(
    root: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (Path(root) / "notes.txt").write_text("mine")
    assert main(["results", "check", root]) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("notes.txt: foreign file; move it elsewhere")
    assert last == f"{root}: 1 findings"


def test_findings_are_given_as_json(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    (Path(root) / "notes.txt").write_text("mine")
    assert main(["results", "check", root, "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["place"], found["problem"]) == ("notes.txt", "foreign file")


@pytest.mark.parametrize(
    ("arguments", "columns"),
    [
        (["best", "--by", "accuracy"], {"method", "run_id", "accuracy"}),
        (["pareto", "--objective", "score", "--objective", "cost_s"], {"score", "cost_s"}),
        (["ablation", "learner.lr", "--against", "b"], {"value", "mean", "spread"}),
        (["effect", "learner"], {"setting", "variance_explained"}),
    ],
)
def test_a_question_is_answered_as_a_table_and_as_json(
    arguments: list[str], columns: set[str], root: str, capsys: pytest.CaptureFixture[str]
) -> None:
    question, *rest = arguments
    assert main(["results", question, root, *rest]) == 0
    header, first, *_ = capsys.readouterr().out.splitlines()
    assert columns <= set(header.split())
    assert "learner" in first
    assert main(["results", question, root, *rest, "--study", STUDY, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert columns <= set(answer[0])


def test_two_studies_of_a_dataset_are_compared(
    root: str, capsys: pytest.CaptureFixture[str]
) -> None:
    later = replace(run("z", "learner", 0.9, 0.75, 0.25), study="later")
    RunStore(root, HYPERS).append(later)
    assert main(["results", "compare", root, STUDY, "later", "--json"]) == 0
    answer = {row["task"]: row["difference"] for row in json.loads(capsys.readouterr().out)}
    assert answer == {"mean": 0.125, "task0": 0.25, "task1": 0.0}


def test_a_measure_that_is_none_is_an_error(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no measure 'speed'" in failure(capsys, "results", "best", root, "--by", "speed")


def test_a_place_without_results_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no results here" in failure(capsys, "results", "check", str(tmp_path))
