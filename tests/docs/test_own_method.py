"""The method that docs/howto/own-method.md writes is one that the code takes."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import distmerge.methods
from distmerge.methods import HYPERS, METHODS
from distmerge.spec import ModelFiles
from distmerge.sweep import run_sweep
from tests.coordinator.sessions import config_of, merged_by, session_of
from tests.sweep.studies import console, rows_of, study_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "own-method.md").read_text()
DECLARATION, STAGE, IMPORT = re.findall(
    r"^```python[^\n]*\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL
)
NAME = "balanced"


def write_method(methods: Path) -> None:
    """Write the page's files into a folder of methods."""
    folder = methods / NAME
    folder.mkdir()
    (folder / "__init__.py").write_text(DECLARATION)
    (folder / "stage.py").write_text(STAGE)


@pytest.fixture
def balanced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the method beside the package's own, for one test."""
    write_method(tmp_path)
    places = [*distmerge.methods.__path__, str(tmp_path)]
    monkeypatch.setattr(distmerge.methods, "__path__", places)
    method = importlib.import_module(f"distmerge.methods.{NAME}").METHOD
    monkeypatch.setitem(METHODS, NAME, method)
    monkeypatch.setitem(HYPERS, NAME, method.hyper)
    yield
    delattr(distmerge.methods, NAME)
    for module in [name for name in sys.modules if name.startswith(f"distmerge.methods.{NAME}")]:
        del sys.modules[module]


@pytest.mark.usefixtures("balanced")
def test_without_power_the_method_is_weight_averaging(world: ModelFiles) -> None:
    session = session_of(world)
    plain = merged_by(session, config_of({}, "weight_averaging")).model
    found = merged_by(session, config_of({f"{NAME}.power": 0.0}, NAME)).model
    torch.testing.assert_close(found.weights, plain.weights)


@pytest.mark.usefixtures("balanced")
def test_with_full_power_all_tasks_move_a_tensor_equally_far(world: ModelFiles) -> None:
    session = session_of(world)
    model = merged_by(session, config_of({}, NAME)).model
    first = session.vectors.layout.segments[0]
    moved = session.vectors.vectors[:, first.start : first.stop].double().norm(dim=1)
    lengths = moved * model.coefficients[:, 0]
    torch.testing.assert_close(lengths, lengths.mean().expand_as(lengths))


@pytest.mark.usefixtures("balanced")
def test_a_sweep_searches_the_method_and_corrects_it(world: ModelFiles, tmp_path: Path) -> None:
    pipelines = [
        {"stages": [NAME], "trials": 3},
        {"stages": [NAME, "surgery"], "settings": {"surgery.steps": 5}},
    ]
    study = study_of(world, tmp_path / "results", ray=False, pipelines=pipelines)
    run_sweep(study, console())
    rows = rows_of(study)
    runs = rows[rows.method.str.startswith(NAME)].drop_duplicates("run_id")
    assert sorted(runs.method) == [NAME, NAME, NAME, f"{NAME}+surgery"]
    assert set(runs.status) == {"ok"}


@pytest.mark.slow
def test_what_the_page_says_to_try_passes_in_a_copy_of_the_repository(tmp_path: Path) -> None:
    for folder in ("distmerge", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    methods = tmp_path / "distmerge" / "methods"
    write_method(methods)
    replaced(methods / "__init__.py", "from distmerge.methods.bd", f"{IMPORT}\\g<0>")
    replaced(methods / "__init__.py", "BD_MERGING,\n", "\\g<0>        BALANCED,\n")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    replaced(tmp_path / "pyproject.toml", r" \| bd_merging", rf"\g<0> | {NAME}")
    commands = re.search(r"## 4.*?^```sh[^\n]*\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert commands
    scripts = Path(sys.executable).parent
    for line in commands[1].splitlines():
        done = subprocess.run(
            ["bash", "-c", line.replace(".venv/bin", str(scripts))],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(tmp_path),
                "PATH": f"{scripts}:{os.environ['PATH']}",
            },
            check=False,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert NAME in done.stdout or "passed" in done.stdout or "kept" in done.stdout


def replaced(path: Path, pattern: str, text: str) -> None:
    """Edit a file at the one place that matches."""
    content, count = re.subn(pattern, text, path.read_text(), count=1)
    assert count == 1, f"{path}: nothing matches {pattern}"
    path.write_text(content)
