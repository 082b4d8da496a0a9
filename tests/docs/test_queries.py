"""The three readers of docs/queries.md give one answer to every question."""

import re
from itertools import groupby
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest

from distmerge.results import check
from tests.docs.blocks import ROOT, Block, blocks, run
from tests.docs.folder import Finished

BLOCKS = blocks(ROOT / "docs" / "queries.md")
SECTIONS = [
    section
    for _, found in groupby(BLOCKS, key=lambda block: block.heading)
    if "answer" in (section := [*found])[0].code
]


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


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section[0].heading)
def test_the_blocks_of_a_section_agree(
    section: list[Block],
    finished: Finished,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(finished.folder)
    answers = []
    for block in section:
        names: dict[str, Any] = {}  # every block is complete
        run(block, names)
        assert capsys.readouterr().out
        answers.append(values(names["answer"]))
    assert answers[1:] == answers[:-1]
    assert all(answers)


def test_every_question_is_asked_with_all_three_readers() -> None:
    readers = [
        [re.findall(r"^import (\w+)", block.code)[0] for block in section] for section in SECTIONS
    ]
    assert len(readers) == 6
    assert [found for found in readers if "duckdb" not in found or len(found) != 3] == []


def test_what_a_sweep_leaves_is_whole(finished: Finished) -> None:
    assert check(str(finished.folder / "results")) == ()
