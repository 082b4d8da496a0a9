from pathlib import Path

import pyarrow as pa
import pytest

from distmerge.errors import ResultsError
from distmerge.methods import HYPERS
from distmerge.results.files import Folder, open_folder
from distmerge.results.reading import read_rows
from distmerge.results.schema import arrow_schema

SCHEMA = arrow_schema(HYPERS)


class Vanishing(Folder):
    """Lists a file that is never there, as a writer in a hurry might leave it."""

    def parquet_files(self, path: str) -> list[str]:
        return [f"{path}/method=m/gone.parquet"]


def test_a_study_without_files_has_every_column_and_no_row(tmp_path: Path) -> None:
    rows = read_rows(open_folder(str(tmp_path)), "s", SCHEMA)
    assert rows.empty
    assert set(rows.columns) == {*SCHEMA.names, "study", "method"}


def test_files_that_keep_vanishing_are_an_error_after_a_few_looks(tmp_path: Path) -> None:
    folder = open_folder(str(tmp_path))
    with pytest.raises(ResultsError, match="files kept vanishing in 5 looks"):
        read_rows(Vanishing(folder.filesystem, folder.root), "s", SCHEMA)


def test_the_schema_is_one_of_arrow() -> None:
    assert isinstance(SCHEMA, pa.Schema)
