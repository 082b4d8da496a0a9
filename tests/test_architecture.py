"""What holds about the code itself and is not for linters to say."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from distmerge.methods import HYPERS
from distmerge.spec import load_study

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "distmerge"
PACKAGES = sorted(path.parent for path in SOURCE.glob("*/__init__.py"))
MODULES = sorted(SOURCE.rglob("*.py"))
STUDIES = sorted((ROOT / "jobs").glob("*.yaml"))
# distmerge.methods is imported without torch; its half in torch has doors of its own.
SECOND_DOORS = {
    "distmerge.methods.contract",
    "distmerge.methods.losses",
    "distmerge.methods.restore",
    "distmerge.models.foreign",
    "distmerge.sweep.here",
}
LIGHT = ("errors", "spec", "methods", "results", "report", "static")


def place(path: Path) -> str:
    return str(path.relative_to(ROOT))


def package(module: Path) -> str:
    return module.relative_to(SOURCE).parts[0]


def imported_names(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def mirror(module: Path) -> Path:
    """Give where a module's tests lie: at the same path, or a folder's in one test file."""
    folders = module.relative_to(SOURCE).parts
    beside = ROOT / "tests" / Path(*folders[:-1])
    if len(folders) > 2 and beside.is_dir():
        return beside / f"test_{module.stem}.py"
    named = folders[1] if len(folders) > 2 else module.name
    parent = ROOT / "tests" / folders[0] if len(folders) > 1 else ROOT / "tests"
    return parent / f"test_{Path(named).stem}.py"


@pytest.mark.parametrize("folder", PACKAGES, ids=place)
def test_a_package_says_what_it_takes_and_what_it_gives(folder: Path) -> None:
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    assert re.match(r"Takes [^;]+; gives .+\.", docstring, re.DOTALL), docstring


@pytest.mark.parametrize("module", [*MODULES, *sorted((ROOT / "jobs").glob("*.py"))], ids=place)
def test_other_packages_are_imported_at_their_front_door(module: Path) -> None:
    own = package(module) if module.is_relative_to(SOURCE) else "jobs"
    foreign = [
        name.split(".")
        for name in imported_names(module)
        if name.startswith("distmerge.") and name.split(".")[1] != own
    ]
    doors = {".".join(parts) for parts in foreign if len(parts) > 2}
    assert doors <= SECOND_DOORS


@pytest.mark.parametrize(
    "module",
    [
        module
        for module in MODULES
        if module.name != "__init__.py" and len(module.read_text().splitlines()) > 30
    ],
    ids=place,
)
def test_a_module_of_some_length_has_its_test_file(module: Path) -> None:
    assert mirror(module).is_file()


def test_constraints_pin_versions_and_name_no_registry() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pin = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.]*")
    assert [line for line in lines if not pin.fullmatch(line)] == []


@pytest.mark.parametrize("study", STUDIES, ids=place)
def test_a_study_file_loads_and_names_known_methods(study: Path) -> None:
    assert load_study(study, [], HYPERS).pipelines


@pytest.mark.parametrize("module", LIGHT)
def test_a_light_package_loads_neither_torch_nor_ray(module: str) -> None:
    code = (
        f"import sys, distmerge.{module}; "
        "print(*sorted({'torch', 'ray', 'open_clip'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert loaded.split() == []
