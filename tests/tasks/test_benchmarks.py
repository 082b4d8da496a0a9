import json
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from distmerge.errors import DataError
from distmerge.spec import BenchmarkData
from distmerge.spec.data import BenchmarkName
from distmerge.tasks import ROLES, Decoding
from distmerge.tasks.arrays import array_folder
from distmerge.tasks.benchmarks import BENCHMARKS
from tests.tasks.pictures import PREPROCESS, Sample, encoded, samples_of

SAMPLES = samples_of(60)


@pytest.fixture
def decoding(tmp_path: Path) -> Decoding:
    return Decoding(PREPROCESS, tmp_path / "cache")


def write_mnist(root: Path, samples: Sequence[Sample], prefix: str) -> None:
    """Write the raw files of MNIST, grey and 28 by 28."""
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    images = np.array([np.resize(pixels[..., 0], (28, 28)) for pixels, _ in samples])
    labels = np.array([label for _, label in samples], np.uint8)
    header = struct.pack(">4i", 2051, len(images), 28, 28)
    (folder / f"{prefix}-images-idx3-ubyte").write_bytes(header + images.tobytes())
    header = struct.pack(">2i", 2049, len(labels))
    (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())


def counts_in(folder: Path) -> list[int]:
    return [len(np.load(folder / f"{role}.images.npy")) for role in ROLES]


def write_images(folder: Path, names: Sequence[str]) -> None:
    for name, (pixels, _) in zip(names, SAMPLES, strict=False):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(pixels))


def test_every_benchmark_of_the_study_file_is_known() -> None:
    assert set(get_args(BenchmarkName)) == set(BENCHMARKS)


def test_every_split_gives_every_role_its_share() -> None:
    for benchmark in BENCHMARKS.values():
        assert {role for split in benchmark.splits for role in split.shares} == set(ROLES)
        assert all(sum(split.shares.values()) == pytest.approx(1) for split in benchmark.splits)


def test_the_test_split_is_what_is_reported(tmp_path: Path, decoding: Decoding) -> None:
    write_mnist(tmp_path, SAMPLES[:50], "train")
    write_mnist(tmp_path, SAMPLES[50:], "t10k")
    folder = array_folder(BenchmarkData(torchvision="MNIST", root=str(tmp_path)), decoding)
    adapt, select, report = counts_in(folder)
    assert (adapt + select, report) == (50, 10)
    assert 0 < select < 15
    assert np.load(folder / "report.labels.npy").sum() == 5
    names = json.loads((folder / "report.names.json").read_text())
    assert min(names) == "MNIST train=False[0]"
    assert len(json.loads((folder / "classes.json").read_text())) == 10


def test_given_names_replace_torchvisions_in_its_order(tmp_path: Path, decoding: Decoding) -> None:
    write_mnist(tmp_path, SAMPLES[:50], "train")
    write_mnist(tmp_path, SAMPLES[50:], "t10k")
    names = tuple(f"the digit {digit}" for digit in range(10))
    data = BenchmarkData(torchvision="MNIST", root=str(tmp_path), classes=names)
    folder = array_folder(data, decoding)
    assert json.loads((folder / "classes.json").read_text()) == [*names]
    assert np.load(folder / "report.labels.npy").sum() == 5
    with pytest.raises(DataError, match="classes: got 9 names, expected 10 in the order of"):
        array_folder(data.model_copy(update={"classes": names[1:]}), decoding)


def test_torchvision_cannot_read_urls(decoding: Decoding) -> None:
    with pytest.raises(DataError, match="SVHN in s3://bucket: torchvision reads local folders"):
        array_folder(BenchmarkData(torchvision="SVHN", root="s3://bucket"), decoding)


def test_eurosat_is_divided_by_content(tmp_path: Path, decoding: Decoding) -> None:
    names = [f"{kind}/{kind}_{i}.jpg" for kind in ("Forest", "River") for i in range(30)]
    write_images(tmp_path / "eurosat" / "2750", names)
    folder = array_folder(BenchmarkData(torchvision="EuroSAT", root=str(tmp_path)), decoding)
    counts = counts_in(folder)
    assert sum(counts) == 60
    assert counts[0] > 40
    assert json.loads((folder / "classes.json").read_text()) == ["Forest", "River"]


@pytest.mark.parametrize(
    ("name", "files", "lists", "classes"),
    [
        (
            "RESISC45",
            [f"NWPU-RESISC45/{c}/{c}_{i:03}.jpg" for c in ("airport", "beach") for i in range(20)],
            ("resisc45-train.txt", "resisc45-val.txt", "resisc45-test.txt"),
            ["airport", "beach"],
        ),
        (
            "SUN397",
            [f"SUN397/{c}/sun_{i}.jpg" for c in ("a/abbey", "b/barn/indoor") for i in range(20)],
            ("Training_01.txt", None, "Testing_01.txt"),
            ["abbey", "barn/indoor"],
        ),
    ],
)
def test_lists_of_files_are_splits(
    name: BenchmarkName,
    files: list[str],
    lists: tuple[str, str | None, str],
    classes: list[str],
    tmp_path: Path,
    decoding: Decoding,
) -> None:
    write_images(tmp_path, files)
    lines = [file.rpartition("/")[2] if name == "RESISC45" else file[6:] for file in files]
    parts = (lines[:25], lines[25:30], lines[30:])
    for path, part in zip(lists, parts, strict=True):
        if path:
            (tmp_path / path).write_text("\n".join(part) + "\n")
    folder = array_folder(BenchmarkData(torchvision=name, root=str(tmp_path)), decoding)
    adapt, select, report = counts_in(folder)
    assert (adapt + select, report) == (30 if lists[1] else 25, 10)
    assert json.loads((folder / "classes.json").read_text()) == classes
    assert set(np.load(folder / "report.labels.npy")) == {1}


def test_other_lists_are_other_splits(tmp_path: Path, decoding: Decoding) -> None:
    names = [f"/{c}/sun_{i}.jpg" for c in ("a/abbey", "b/barn") for i in range(20)]
    write_images(tmp_path / "SUN397", [name[1:] for name in names])
    (tmp_path / "Training_01.txt").write_text("\n".join(names[:30]))
    (tmp_path / "Testing_01.txt").write_text("\n".join(names[30:]))
    data = BenchmarkData(torchvision="SUN397", root=str(tmp_path))
    before = counts_in(array_folder(data, decoding))
    (tmp_path / "Testing_01.txt").write_text("\n".join(names[35:]))
    assert (before[2], counts_in(array_folder(data, decoding))[2]) == (10, 5)


def test_an_image_of_a_list_that_is_missing_is_named(tmp_path: Path, decoding: Decoding) -> None:
    write_images(tmp_path, ["SUN397/a/abbey/sun_1.jpg"])
    (tmp_path / "Training_01.txt").write_text("/a/abbey/sun_1.jpg\n/a/abbey/sun_2.jpg\n")
    (tmp_path / "Testing_01.txt").write_text("/a/abbey/sun_1.jpg\n")
    with pytest.raises(DataError, match=r"1 images of Training_01\.txt are not in .*sun_2\.jpg"):
        array_folder(BenchmarkData(torchvision="SUN397", root=str(tmp_path)), decoding)


@pytest.mark.parametrize("name", get_args(BenchmarkName))
def test_data_that_are_not_there_are_an_error(
    name: BenchmarkName, tmp_path: Path, decoding: Decoding
) -> None:
    with pytest.raises(DataError, match=str(tmp_path)):
        array_folder(BenchmarkData(torchvision=name, root=str(tmp_path)), decoding)


def test_a_folder_that_torchvision_does_not_know_is_an_error(
    tmp_path: Path, decoding: Decoding
) -> None:
    (tmp_path / "dtd").mkdir()
    (tmp_path / "dtd" / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"torchvision\.datasets\.DTD does not find its files"):
        array_folder(BenchmarkData(torchvision="DTD", root=str(tmp_path)), decoding)


def test_torchvision_is_asked_for_by_name(
    tmp_path: Path, decoding: Decoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mnist(tmp_path, SAMPLES[:50], "train")
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)  # as if it were not installed
    with pytest.raises(DataError, match=r"MNIST in .*: needs torchvision; pip install"):
        array_folder(BenchmarkData(torchvision="MNIST", root=str(tmp_path)), decoding)
