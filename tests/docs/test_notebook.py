"""The notebook runs from a clean checkout, cell by cell, in a kernel of its own."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.docs.blocks import ROOT

FOLDER = ROOT / "docs" / "notebooks"
WITHOUT_RAY = "import sys\n\nassert 'ray' not in sys.modules"


def test_the_notebook_runs_from_top_to_bottom_without_ray(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # on busy cores threads wait for each other
    shutil.copy(FOLDER / "digits.py", tmp_path)
    notebook = nbformat.read(FOLDER / "merge.ipynb", as_version=4)  # type: ignore[no-untyped-call]  # nbformat has no types
    last = nbformat.v4.new_code_cell(WITHOUT_RAY)  # type: ignore[no-untyped-call]  # nor here
    notebook.cells.append(last)
    places = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, startup_timeout=300, resources=places).execute()
    assert (tmp_path / "merged" / "recipe.json").is_file()


def test_what_the_notebook_shows_is_small_and_names_no_machine() -> None:
    text = (FOLDER / "merge.ipynb").read_text()
    assert len(text) < 150_000
    assert [place for place in ("/home/", "/root/", "/tmp/") if place in text] == []
