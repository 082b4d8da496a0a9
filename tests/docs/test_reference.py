"""What the site's hooks make of declarations, of the README's tables and of formulas."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from mkdocs.exceptions import PluginError
from typer.main import get_command

from distmerge.cli import app
from distmerge.methods import HYPERS, METHODS
from distmerge.spec import (
    AnyOf,
    BenchmarkData,
    Frozen,
    Halving,
    ImageCounts,
    ModelFiles,
    Pipeline,
    RayConfig,
    RoleData,
    Shares,
    Study,
    TaskFiles,
    WholeData,
    ZeroShotHead,
    ZooModels,
)

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PARTS = (
    *(Study, ZooModels, ModelFiles, TaskFiles, ImageCounts, RayConfig, Pipeline, AnyOf, Halving),
    *(WholeData, RoleData, BenchmarkData, Shares, ZeroShotHead),
)
every_method = pytest.mark.parametrize("method", METHODS)


def hook(name: str) -> Any:
    """Give a module of docs/hooks, as mkdocs loads it: by its file."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "hooks" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


declarations, measured = hook("declarations"), hook("measured")
formulas, commands = hook("formulas"), hook("commands")


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_every_key_of_a_study_is_in_the_reference_with_its_meaning(part: type[Frozen]) -> None:
    text = declarations.study_keys()
    meanings = {
        name: " ".join((field.description or "").split())
        for name, field in part.model_fields.items()
    }
    found = [
        name
        for name, meaning in meanings.items()
        if meaning
        and re.search(
            rf"{{ #{part.__name__}\.{name} }}.*\n:   {re.escape(meaning)}$", text, re.MULTILINE
        )
    ]
    assert found == list(meanings)


@every_method
def test_every_method_has_a_page_in_the_navigation_with_its_settings_and_figures(
    method: str,
) -> None:
    page = f"methods/{declarations.page(method)}"
    text = (ROOT / "docs" / page).read_text()
    assert f": {page}\n" in (ROOT / "mkdocs.yml").read_text()
    assert f"<!-- settings: {method} -->" in text
    assert f"<!-- measured: {method} -->" in text
    assert re.search(r"arXiv:\d{4}\.\d{5}", METHODS[method].paper)[0] in text  # type: ignore[index]  # every paper has one


@every_method
def test_the_settings_of_a_method_are_all_there_with_the_ranges_of_a_search(method: str) -> None:
    text = declarations.method_settings(METHODS[method])
    shown = re.findall(rf"\{{ #{method}\.(\w+) \}}", text)
    assert shown == list(HYPERS[method].model_fields)
    assert text.count("searched: ") == len(HYPERS[method].search_space())


def test_a_setting_shows_type_default_range_and_meaning() -> None:
    text = declarations.method_settings(METHODS["ties"])
    assert (
        "`density`{ #ties.density } <small>number above 0 to 1 · default `0.2` · "
        "searched: one of 0.1, 0.2, 0.3</small>\n"
        ":   Share of every task vector that is kept, a fraction in (0, 1].\n"
    ) in text


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 2, "maximum": 100}, "whole number from 2 to 100"),
        (
            {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 2**31},
            "whole number above 0",
        ),
        ({"enum": ["L1", "L2"]}, "`L1` or `L2`"),
        ({"const": False}, "`false`"),
        ({"anyOf": [{"type": "string", "format": "path"}, {"type": "null"}]}, "path or `null`"),
        (
            {"type": "array", "items": {"$ref": "#/$defs/TaskFiles"}},
            "list of [TaskFiles](#taskfiles)",
        ),
        ({}, "any value"),
    ],
)
def test_types_are_said_in_words(schema: dict[str, Any], words: str) -> None:
    assert declarations.kind(schema) == words


def test_settings_of_an_unknown_method_stop_the_build() -> None:
    with pytest.raises(PluginError, match="'tie' is no method; known: weight_averaging"):
        declarations.on_page_markdown("<!-- settings: tie -->")


@every_method
def test_the_figures_of_a_method_are_rows_of_the_readme(method: str) -> None:
    text = measured.measured(README, method)
    rows = re.findall(r"^\w.*", re.sub(r"```\w*", "", text), re.MULTILINE)
    assert [row for row in rows if row not in README] == []
    names = {row.split()[0] for row in rows}
    assert {"method", "individual", "pretrained"} < names
    assert all(method in name.split("+") for name in names - {"method", "individual", "pretrained"})


def test_a_method_without_figures_stops_the_build() -> None:
    with pytest.raises(PluginError, match="no leaderboard with nobody"):
        measured.measured(README, "nobody")


def test_a_formula_is_a_drawing_that_a_screen_reader_can_read() -> None:
    drawing = formulas.drawn(r"\theta_k &lt; \dfrac{1}{K}")
    assert drawing.startswith('<svg class="formula" role="img"')
    assert r'aria-label="\theta_k &lt; \dfrac{1}{K}"' in drawing


def test_code_is_not_taken_for_a_formula() -> None:
    html = "<code>$HOME and \\(x\\)</code>"
    assert formulas.on_page_content(html) == html


def test_a_formula_with_an_unknown_command_stops_the_build() -> None:
    with pytest.raises(ValueError, match=r"Unknown symbol: \\nosuch"):
        formulas.drawn(r"\nosuch{x}")


def test_every_command_is_in_the_reference() -> None:
    text = commands.on_page_markdown("<!-- commands -->")
    shown = re.findall(r"^## distmerge (.+)$", text, re.MULTILINE)
    groups: Any = get_command(app)
    assert {name.split()[0] for name in shown} == set(groups.commands)
    assert "results check" in shown
