import json
from pathlib import Path

import pytest

from distmerge.cli import main
from tests.cli.messages import failure


@pytest.mark.parametrize("name", ["adamerging", "surgery", "task_arithmetic"])
def test_a_method_shows_its_settings(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", name, "--json"]) == 0
    (method,) = json.loads(capsys.readouterr().out)
    assert method["paper"]
    assert all(setting["meaning"] for setting in method["settings"])


def test_an_unknown_method_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert "known: weight_averaging" in failure(capsys, "methods", "magic")


def test_an_unknown_zoo_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert "tiny" in failure(capsys, "zoo", "build", "huge")


def test_zoos_are_listed_in_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISTMERGE_CACHE", str(tmp_path))
    assert main(["zoo", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tiny"] is None
