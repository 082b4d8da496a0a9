from pathlib import Path

import pytest

from distmerge.errors import DataError
from distmerge.tasks.listing import listed
from distmerge.tasks.records import Record, Wanted
from distmerge.tasks.shards import shard_records
from tests.tasks.pictures import encoded, samples_of, write_shards, write_tar

SAMPLES = samples_of(7)


def records_at(place: Path, role: str = "report") -> list[Record]:
    return list(shard_records(listed(str(place)), Wanted(None, role)).stream)


def test_shards_are_read_one_after_the_other(tmp_path: Path) -> None:
    records = records_at(write_shards(tmp_path / "shards", SAMPLES))
    assert [record.label for record in records] == [0, 1, 0, 1, 0, 1, 0]
    assert [record.read() for record in records] == [encoded(pixels) for pixels, _ in SAMPLES]
    assert records[5].address == "01.tar:0005.png"


def test_only_images_of_a_key_count_and_a_class_may_be_a_name(tmp_path: Path) -> None:
    files = {"a/1.json": b"{}", "a/1.CLS": b"cat\n", "a/1.jpg": b"x", "a/1.seg.png": b"y"}
    path = write_tar(tmp_path / "x.tar", files)
    assert [(r.address, r.label) for r in records_at(path)] == [("x.tar:a/1.jpg", "cat")]


def test_a_name_may_have_points(tmp_path: Path) -> None:
    files = {"img.v1.jpg": b"x", "img.v1.cls": b"0", "img.v2.jpg": b"y", "img.v2.cls": b"1"}
    path = write_tar(tmp_path / "x.tar", files)
    assert [(r.address, r.label) for r in records_at(path)] == [
        ("x.tar:img.v1.jpg", 0),
        ("x.tar:img.v2.jpg", 1),
    ]


def test_a_role_without_labels_needs_no_classes(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {"1.jpg": b"x", "2.jpg": b"y"})
    assert [record.label for record in records_at(path, "adapt")] == [None, None]


def test_an_image_without_its_class_is_named(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {"1.cls": b"0", "1.jpg": b"x", "2.v1.jpg": b"y"})
    with pytest.raises(DataError, match=r"x\.tar:2\.v1: expected its label in 2\.v1\.cls"):
        records_at(path)


@pytest.mark.parametrize("kept", [0, 700, 1000])
def test_a_truncated_shard_is_named(kept: int, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {"1.cls": b"0", "1.jpg": b"x" * 5000})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"x\.tar: no complete tar file"):
        records_at(path)
