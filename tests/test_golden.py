"""What users rely on, word by word; `make golden` rewrites the files."""

import os
from pathlib import Path

import pytest

from distmerge.cli import main
from distmerge.methods import HYPERS
from distmerge.results.schema import columns

FOLDER = Path(__file__).parent / "golden"


def compare(name: str, text: str) -> None:
    path = FOLDER / name
    if os.environ.get("DISTMERGE_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text(), f"{name} changed; if that is meant, run `make golden`"


def test_the_columns_of_the_results_table() -> None:
    compare("columns.txt", "".join(f"{k}: {v}\n" for k, v in columns(HYPERS).items()))


@pytest.mark.parametrize(
    "command",
    ["", "sweep", "leaderboard", "report", "methods", "zoo", "import", "merge", "results"],
)
def test_the_help_of_a_command(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERMINAL_WIDTH", "100")
    main([*command.split(), "--help"])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    compare(f"help{command and '_'}{command}.txt", "\n".join(lines) + "\n")
