import json
from pathlib import Path

import numpy as np
import pytest

from distmerge.errors import DataError
from distmerge.tasks.listing import listed
from distmerge.tasks.records import Wanted
from distmerge.tasks.sources import source_records
from tests.tasks.pictures import (
    CLASSES,
    SIZE,
    samples_of,
    write_flat,
    write_folder,
    write_parquet,
    write_shards,
)

SAMPLES = samples_of(4)
WANTED = Wanted(None, "select")


def write_arrays(folder: Path) -> Path:
    folder.mkdir()
    (folder / "classes.json").write_text(json.dumps(CLASSES))
    np.save(folder / "select.images.npy", np.array([pixels for pixels, _ in SAMPLES]))
    np.save(folder / "select.labels.npy", np.array([label for _, label in SAMPLES]))
    return folder


@pytest.mark.parametrize(
    "write",
    [
        write_folder,
        write_shards,
        lambda folder, samples: write_parquet(folder / "x.parquet", samples),
    ],
)
def test_the_files_say_of_which_kind_they_are(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path / "data", SAMPLES)
    found = source_records(listed(str(tmp_path / "data")), WANTED)
    assert len(list(found.stream)) == 4


def test_arrays_of_a_role_are_records_too(tmp_path: Path) -> None:
    found = source_records(listed(str(write_arrays(tmp_path / "data"))), WANTED)
    records = list(found.stream)
    assert found.classes == CLASSES
    assert [record.label for record in records] == [0, 1, 0, 1]
    assert np.array_equal(np.array(records[3].read()), SAMPLES[3][0])
    assert records[3].address == "select.images.npy[3]"
    assert np.array(records[3].read()).shape == (SIZE, SIZE, 3)


def test_arrays_of_another_role_are_not_taken(tmp_path: Path) -> None:
    listing = listed(str(write_arrays(tmp_path / "data")))
    with pytest.raises(DataError, match=r"expected report\.images\.npy and report\.labels\.npy"):
        source_records(listing, Wanted(None, "report"))
    with pytest.raises(DataError, match="holds arrays of every role; write data: "):
        source_records(listing, Wanted(None, ""))


def test_a_folder_of_several_kinds_is_refused(tmp_path: Path) -> None:
    write_flat(tmp_path / "data", SAMPLES)
    write_parquet(tmp_path / "data" / "x.parquet", SAMPLES)
    with pytest.raises(DataError, match=r"which are tables \(\.parquet, \.arrow\) and images; exp"):
        source_records(listed(str(tmp_path / "data")), WANTED)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="1 files, of which are none; expected one of arrays"):
        source_records(listed(str(tmp_path)), WANTED)
