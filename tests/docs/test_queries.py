"""Every block of docs/queries.md runs as it is, and the three readers give one answer."""

import re
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pandas as pd
import polars as pl
import pytest

from distmerge.results import check
from distmerge.spec import ModelFiles
from distmerge.sweep import run_sweep
from tests.sweep.studies import ADAPT, console, study_of

PAGE = Path(__file__).parents[2] / "docs" / "queries.md"
FIELDS: dict[str, Any] = {
    "ray": False,
    "levels": ["L1", "L3"],
    "repeats": 3,
    "pipelines": [
        {"stages": ["weight_averaging"]},
        {"stages": ["task_arithmetic"], "trials": 5},
        {"stages": ["adamerging"], "settings": ADAPT},
        {  # fails
            "stages": ["adamerging_pp"],
            "settings": {"adamerging_pp.lr": 1e30, "adamerging_pp.projection": "none"},
        },
    ],
}


class Block(NamedTuple):
    """A block of code, and the heading that it stands under."""

    heading: str
    code: str


def blocks() -> list[Block]:
    """Give the blocks of the page in order."""
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    return [
        Block(section.partition("\n")[0], code)
        for section in sections
        for code in re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    ]


SECTIONS = [[*found] for _, found in groupby(blocks(), key=lambda block: block.heading)]


@pytest.fixture(scope="module")
def place(world: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the results of two studies lie: the one asked about, and another to compare with."""
    folder = tmp_path_factory.mktemp("queries")
    run_sweep(study_of(world, folder / "results", **FIELDS), console())
    other = {**FIELDS, "study": "other", "levels": [], "pipelines": FIELDS["pipelines"][:1]}
    run_sweep(study_of(world, folder / "results", **other), console())
    return folder


def values(answer: Any) -> list[tuple[Any, ...]]:
    """Give a frame of any reader as sorted rows, its columns by name."""
    if isinstance(answer, duckdb.DuckDBPyRelation):
        answer = answer.to_arrow_table().to_pandas()
    if isinstance(answer, pl.DataFrame):
        answer = answer.to_pandas()
    assert isinstance(answer, pd.DataFrame)
    rows = answer[sorted(answer.columns)].itertuples(index=False)
    return sorted(
        tuple(round(value, 9) if isinstance(value, float) else value for value in row)
        for row in rows
    )


def run(block: Block) -> dict[str, Any]:
    """Give the names that a block leaves."""
    names: dict[str, Any] = {}
    exec(compile(block.code, f"{PAGE.name}: {block.heading}", "exec"), names)
    return names


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section[0].heading)
def test_the_blocks_of_a_section_run_and_agree(
    section: list[Block],
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(place)
    answers = []
    for block in section:
        names = run(block)
        assert capsys.readouterr().out
        answers += [values(names["answer"])] if "answer" in names else []
    assert answers[1:] == answers[:-1]
    assert all(answers)


def test_every_question_is_asked_with_all_three_readers() -> None:
    readers = {
        section[0].heading: [re.findall(r"^import (\w+)", code)[0] for _, code in section]
        for section in SECTIONS
        if "answer" in section[0].code
    }
    assert len(readers) == 6
    assert [found for found in readers.values() if "duckdb" not in found or len(found) != 3] == []


def test_what_a_sweep_leaves_is_whole(place: Path) -> None:
    assert check(str(place / "results")) == ()
