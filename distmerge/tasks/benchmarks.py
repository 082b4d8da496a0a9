"""The eight benchmark tasks of the merging papers, from the folders that torchvision lays out.

report is the official test split. Of the training images (with those for validation, where there
are any) select is 10 %, at most about 5,000, and adapt the rest (algorithms.md 1.3, 1.4). Two
tasks have no test split in torchvision: SUN397 needs ``Training_01.txt`` and ``Testing_01.txt`` of
its authors' first partition, EuroSAT gives 10 % by content (the papers drew their 2,700 at
random). RESISC45 is not in torchvision: ``NWPU-RESISC45/CLASS/IMAGE`` with ``resisc45-train.txt``,
``resisc45-val.txt`` and ``resisc45-test.txt``. Lists of files lie in ``root`` itself, beside the
folder ``SUN397`` or ``NWPU-RESISC45``.
"""

import importlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from distmerge.errors import DataError
from distmerge.spec import BenchmarkData
from distmerge.tasks.listing import Listing, read_text, readable
from distmerge.tasks.records import Record, Records, Wanted


class Split(NamedTuple):
    """Some of a benchmark's images, and which share of them each role gets."""

    sources: tuple[Mapping[str, object], ...]
    """Arguments of torchvision's class, or lists of files."""
    shares: Mapping[str, float]

    @property
    def lists(self) -> tuple[str, ...]:
        """The lists of files below ``root`` that say which images these are."""
        return tuple(str(one["list"]) for one in self.sources if "list" in one)


class Benchmark(NamedTuple):
    """How torchvision holds one task."""

    dataset: str
    """torchvision's class; empty: files named by lists."""
    files: str
    """The task's files below ``root``, as a folder or a glob."""
    splits: tuple[Split, ...]


_REPORT = {"report": 1.0}


def _training(select: float = 0.1) -> dict[str, float]:
    return {"adapt": 1 - select, "select": select}


def _splits(*, test: Mapping[str, object], select: float = 0.1) -> tuple[Split, ...]:
    return Split(({"split": "train"},), _training(select)), Split((test,), _REPORT)


_TEST = {"split": "test"}
_MNIST = Split(({"train": True},), _training(5_000 / 60_000)), Split(({"train": False},), _REPORT)
_DTD = (
    Split(({"split": "train"}, {"split": "val"}), _training()),
    Split((_TEST,), _REPORT),
)
_EUROSAT = (Split(({},), {"adapt": 0.81, "select": 0.09, "report": 0.1}),)


def _lists(training: tuple[str, ...], test: str) -> tuple[Split, ...]:
    sources = tuple({"list": name} for name in training)
    return Split(sources, _training()), Split(({"list": test},), _REPORT)


BENCHMARKS = {
    "SUN397": Benchmark("", "SUN397", _lists(("Training_01.txt",), "Testing_01.txt")),
    "Cars": Benchmark("StanfordCars", "stanford_cars", _splits(test=_TEST)),
    "RESISC45": Benchmark(
        "",
        "NWPU-RESISC45",
        _lists(("resisc45-train.txt", "resisc45-val.txt"), "resisc45-test.txt"),
    ),
    "EuroSAT": Benchmark("EuroSAT", "eurosat", _EUROSAT),
    "SVHN": Benchmark("SVHN", "*_32x32.mat", _splits(test=_TEST, select=5_000 / 73_257)),
    "GTSRB": Benchmark("GTSRB", "gtsrb", _splits(test=_TEST)),
    "MNIST": Benchmark("MNIST", "MNIST", _MNIST),
    "DTD": Benchmark("DTD", "dtd", _DTD),
}


def benchmark_records(
    data: BenchmarkData, split: Split, listing: Listing, wanted: Wanted
) -> Records:
    """Give the images of one split.

    Raises:
        DataError: torchvision or a file is missing, or the data are not as torchvision expects.
    """
    benchmark = BENCHMARKS[data.torchvision]
    if not benchmark.dataset:
        return _listed_records(data, split, listing)
    datasets = [_dataset(data, benchmark, arguments) for arguments in split.sources]
    return Records(_names(datasets[0], wanted), _stream(datasets, split))


def _dataset(data: BenchmarkData, benchmark: Benchmark, arguments: Mapping[str, object]) -> Any:
    try:
        kinds = importlib.import_module("torchvision.datasets")
    except ImportError as error:
        raise DataError(f"{data}: needs torchvision; pip install torchvision") from error
    try:
        return getattr(kinds, benchmark.dataset)(data.root, download=False, **arguments)
    except (RuntimeError, OSError, ValueError) as error:
        raise DataError(
            f"{data}: torchvision.datasets.{benchmark.dataset} does not find its files below root "
            f"({error}); fetch them first, nothing is downloaded here"
        ) from error


def _names(dataset: Any, wanted: Wanted) -> tuple[str, ...]:
    """Give the study's names in torchvision's order, or torchvision's own; some are numbers.

    Raises:
        DataError: the study gives another number of names.
    """
    numbers = range(_NUMBERED.get(type(dataset).__name__, 0))
    own = tuple(map(str, getattr(dataset, "classes", numbers)))
    if wanted.classes and len(wanted.classes) != len(own):
        raise DataError(
            f"classes: got {len(wanted.classes)} names, expected {len(own)} in the order of "
            f"torchvision.datasets.{type(dataset).__name__} ({', '.join(own[:3])}, ...)"
        )
    return wanted.classes or own


_NUMBERED = {"SVHN": 10, "GTSRB": 43}


def _stream(datasets: list[Any], split: Split) -> Iterator[Record]:
    for dataset, arguments in zip(datasets, split.sources, strict=True):
        place = "".join(f"{key}={value}" for key, value in arguments.items())
        for index in range(len(dataset)):
            address = f"{type(dataset).__name__} {place}[{index}]"
            with readable(address):
                image, label = dataset[index]
            yield Record(address, partial(np.array, image.convert("RGB")), int(label))


def _listed_records(data: BenchmarkData, split: Split, listing: Listing) -> Records:
    """Give the files named in lists; a file's folders, less its letter in SUN397, are its class.

    Raises:
        DataError: a list is missing, or names files that are.
    """
    root = data.root.rstrip("/")
    folder = f"{root}/{BENCHMARKS[data.torchvision].files}"
    lines = [line for one in split.lists for line in read_text(f"{root}/{one}").splitlines()]
    names = [line.strip().strip("/") for line in lines if line.strip()]
    flat = all("/" not in name for name in names)  # RESISC45's lists leave out the class folder
    images = [file for file in listing.files if "/" in file.name]
    files = {file.name.rpartition("/")[2] if flat else file.name: file for file in images}
    missing = [name for name in names if name not in files]
    if missing:
        raise DataError(
            f"{data}: {len(missing)} images of {' and '.join(split.lists)} are not in {folder} "
            f"({', '.join(missing[:5])})"
        )
    classes = {file.name: _class_of(file.name) for file in images}
    chosen = [files[name] for name in names]
    stream = (Record(f.name, partial(listing.read, f), classes[f.name]) for f in chosen)
    return Records(tuple(sorted(set(classes.values()))), stream)


def _class_of(name: str) -> str:
    folders = name.split("/")[:-1]
    return "/".join(folders[1:] if len(folders[0]) == 1 else folders)
