from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distmerge.errors import DataError
from distmerge.tasks.listing import listed
from distmerge.tasks.records import Wanted
from distmerge.tasks.tables import table_records
from tests.tasks.pictures import CLASSES, encoded, samples_of, write_parquet, write_saved

SAMPLES = samples_of(4)
WANTED = Wanted(None, "report")


@pytest.mark.parametrize("kind", ["parquet", "saved"])
def test_rows_give_bytes_labels_and_the_names_in_the_metadata(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "data" / "train.parquet"
    place = write_parquet(path, SAMPLES) if kind == "parquet" else write_saved(path, SAMPLES)
    found = table_records(listed(str(place)), WANTED)
    records = list(found.stream)
    assert found.classes == CLASSES
    assert [record.label for record in records] == [0, 1, 0, 1]
    assert [record.read() for record in records] == [encoded(pixels) for pixels, _ in SAMPLES]
    assert records[2].address.endswith(" row 2")


def test_caches_beside_saved_rows_are_left_out(tmp_path: Path) -> None:
    folder = write_saved(tmp_path / "data", SAMPLES)
    (folder / "cache-1234.arrow").write_bytes(b"")
    assert len(list(table_records(listed(str(folder)), WANTED).stream)) == 4


def test_columns_may_have_other_names_and_hold_plain_bytes(tmp_path: Path) -> None:
    images = [encoded(pixels) for pixels, _ in SAMPLES]
    pq.write_table(pa.table({"img": images, "kind": ["b", "a", "b", "c"]}), tmp_path / "x.parquet")
    found = table_records(listed(str(tmp_path)), Wanted(None, "report", "img", "kind"))
    assert found.classes == ("a", "b", "c")
    assert [(record.read(), record.label) for record in found.stream] == list(
        zip(images, ["b", "a", "b", "c"], strict=True)
    )


def test_numbers_without_names_need_classes(tmp_path: Path) -> None:
    write_parquet(tmp_path / "x.parquet", SAMPLES, named=False)
    assert table_records(listed(str(tmp_path)), WANTED).classes is None


def test_labels_that_are_no_class_are_kept_as_text(tmp_path: Path) -> None:
    table = pa.table({"image": [b"x", b"y"], "label": [None, 1.5]})
    pq.write_table(table, tmp_path / "x.parquet")
    found = table_records(listed(str(tmp_path)), WANTED)
    assert [record.label for record in found.stream] == ["None", "1.5"]


def test_a_role_without_labels_needs_no_label_column(tmp_path: Path) -> None:
    images = [{"bytes": None, "path": "a.png"}, {"bytes": b"x", "path": None}]
    pq.write_table(pa.table({"image": images}), tmp_path / "x.parquet")
    records = list(table_records(listed(str(tmp_path)), Wanted(None, "adapt")).stream)
    assert [(record.read(), record.label) for record in records] == [(b"", None), (b"x", None)]


def test_missing_columns_are_named_with_those_that_there_are(tmp_path: Path) -> None:
    pq.write_table(pa.table({"img": [b""], "fine": [1]}), tmp_path / "x.parquet")
    expected = r"no column for image: image and label: label; it has img, fine"
    with pytest.raises(DataError, match=expected):
        table_records(listed(str(tmp_path)), WANTED)


def test_a_folder_of_several_splits_is_refused(tmp_path: Path) -> None:
    write_saved(tmp_path / "data" / "train", SAMPLES)
    (tmp_path / "data" / "dataset_dict.json").write_text("{}")
    with pytest.raises(DataError, match="holds several splits; give one per role"):
        table_records(listed(str(tmp_path / "data")), WANTED)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.95])
def test_a_truncated_file_is_named(kept: float, kind: str, tmp_path: Path) -> None:
    folder = write_saved(tmp_path / "saved", SAMPLES)
    path = write_parquet(tmp_path / "x.parquet", SAMPLES)
    path = path if kind == "parquet" else folder / "data-00000-of-00001.arrow"
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError, match="cannot read it"):
        list(table_records(listed(str(path)), WANTED).stream)
