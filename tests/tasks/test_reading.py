import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from distmerge.errors import DataError
from distmerge.spec import ModelFiles
from distmerge.tasks import ROLES, ArrayFolder
from tests.tasks.pictures import PREPROCESS
from tests.world import NUM_IMAGES, arrays_of


@pytest.fixture
def reading(world: ModelFiles, tmp_path: Path) -> ArrayFolder:
    folder = shutil.copytree(arrays_of(world.tasks[0]), tmp_path / "alpha")
    return ArrayFolder("task alpha", folder, PREPROCESS, tmp_path / "cache")


def test_headers_tell_classes_and_counts_and_nothing_is_written(
    reading: ArrayFolder, tmp_path: Path
) -> None:
    found = reading.preview(ROLES)
    assert found.classes == ("alpha 0", "alpha 1", "alpha 2")
    assert found.counts == NUM_IMAGES
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("name", "edit", "problem"),
    [
        ("adapt.images.npy", lambda a: a.astype(np.float32), "got float32"),
        ("report.images.npy", lambda a: a.transpose(0, 3, 1, 2), r"got uint8 \(24, 3, 16, 16\)"),
        ("select.labels.npy", lambda a: a[:9], r"got int64 \(9,\), expected integers \(16,\)"),
        ("select.labels.npy", lambda a: a / 2, "got float64"),
    ],
)
def test_headers_tell_what_is_malformed(
    name: str, edit: Callable[[np.ndarray], np.ndarray], problem: str, reading: ArrayFolder
) -> None:
    np.save(reading.folder / name, edit(np.load(reading.folder / name)))
    with pytest.raises(DataError, match=f"task alpha: {name}: {problem}"):
        reading.preview(ROLES)


def test_everything_that_is_wrong_with_a_folder_is_listed(reading: ArrayFolder) -> None:
    (reading.folder / "classes.json").write_text(json.dumps({"cat": 0, "dog": 1}))
    (reading.folder / "select.labels.npy").unlink()
    (reading.folder / "adapt.images.npy").unlink()
    with pytest.raises(DataError, match="expected a list of two or more class names") as caught:
        reading.preview(ROLES)
    assert "cannot read select.labels.npy" in str(caught.value)
    assert "cannot read adapt.images.npy" in str(caught.value)
    assert str(caught.value).count("task alpha") == 3
