from pathlib import Path

import pytest

from distmerge.errors import DataError
from distmerge.tasks.image_folder import folder_records
from distmerge.tasks.listing import listed
from distmerge.tasks.records import Wanted
from tests.tasks.pictures import samples_of, write_flat, write_folder

SAMPLES = samples_of(4)


def records_in(folder: Path, *, role: str = "report", classes: tuple[str, ...] | None = None):  # type: ignore[no-untyped-def]
    return folder_records(listed(str(folder)), Wanted(classes, role))


def test_sub_folders_are_classes_whatever_lies_deeper(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", SAMPLES)
    (folder / "dog" / "big").mkdir()
    (folder / "dog" / "1.png").rename(folder / "dog" / "big" / "1.PNG")
    (folder / "dog" / "notes.txt").write_text("no image")
    (folder / "notes.txt").write_text("no image")
    found = records_in(folder)
    assert found.classes == ("cat", "dog")
    assert {record.address: record.label for record in found.stream} == {
        "cat/0.png": "cat",
        "cat/2.png": "cat",
        "dog/3.png": "dog",
        "dog/big/1.PNG": "dog",
    }


@pytest.mark.parametrize("write", [write_flat, write_folder])
def test_an_unlabelled_folder_may_be_flat_or_not(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    found = records_in(write(tmp_path / "data", SAMPLES), role="adapt")
    assert found.classes is None
    assert [record.label for record in found.stream] == [None] * 4


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    folder = write_flat(tmp_path / "data", SAMPLES)
    with pytest.raises(DataError, match=r"4 images lie outside of class sub-folders \(0\.png, "):
        records_in(folder)


def test_files_of_another_suffix_are_counted_and_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", SAMPLES)
    (folder / "dog" / "4.heic").write_bytes(b"x")
    (folder / "dog" / "5").write_bytes(b"x")
    (folder / "dog" / ".DS_Store").write_bytes(b"x")
    expected = (
        r"2 files are no images by their suffix, 0 may \(skip_unreadable\): dog/4\.heic, dog/5;"
    )
    with pytest.raises(DataError, match=expected):
        records_in(folder)


def test_an_empty_class_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", SAMPLES)
    (folder / "emu").mkdir()
    (folder / ".ipynb_checkpoints").mkdir()
    with pytest.raises(DataError, match=r"1 class folders hold no images \(emu\); remove"):
        records_in(folder)


def test_a_given_class_may_have_no_images(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", SAMPLES)
    assert len(list(records_in(folder, classes=("cat", "dog", "emu")).stream)) == 4


def test_a_sub_folder_that_is_no_class_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", SAMPLES)
    with pytest.raises(DataError, match=r"not among the 2 names of classes \(dog\)"):
        records_in(folder, classes=("cat", "Dog"))
