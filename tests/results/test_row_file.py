"""What a file of rows says of itself."""

from pathlib import Path

import pytest
from pyarrow.fs import LocalFileSystem

from distmerge.results import RunStore
from distmerge.results.row_file import NAME, inspect
from tests.results.records import FAILED, RECORD
from tests.spec.hypers import HYPERS


@pytest.mark.parametrize(("record", "is_ok"), [(RECORD, True), (FAILED, False)])
def test_a_stored_record_has_its_own_name(record: object, is_ok: bool, tmp_path: Path) -> None:
    assert isinstance(record, type(RECORD))
    RunStore(str(tmp_path), HYPERS).append(record)
    (path,) = tmp_path.rglob("*.parquet")
    place = str(path.relative_to(tmp_path))
    file, findings = inspect(LocalFileSystem(), str(tmp_path), place)
    assert findings == []
    assert file is not None
    assert file[:6] == (place, RECORD.study, RECORD.stages, RECORD.run_id, 0, is_ok)


def test_a_file_that_has_just_gone_is_nothing(tmp_path: Path) -> None:
    place = "study=s/method=m/gone-0.parquet"
    assert inspect(LocalFileSystem(), str(tmp_path), place) == (None, [])


@pytest.mark.parametrize(
    "place", ["x.parquet", "study=s/x-0.parquet", "study=s/method=m/x.parquet"]
)
def test_other_files_are_not_named_like_rows(place: str) -> None:
    assert NAME.fullmatch(place) is None
