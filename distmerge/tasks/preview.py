"""What a task's data say of themselves before anything is decoded."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from distmerge.errors import DataError
from distmerge.spec import BenchmarkData, RoleData, WholeData, is_url
from distmerge.tasks.arrays import Described, agreed_classes, parts_of, records_of
from distmerge.tasks.benchmarks import BENCHMARKS
from distmerge.tasks.listing import class_names, is_there
from distmerge.tasks.records import Kind
from distmerge.tasks.splits import ROLE_ORDER


class Preview(NamedTuple):
    """A task's classes and samples, as far as names of files and footers tell; None: they don't."""

    classes: tuple[str, ...] | None
    counts: Mapping[str, int] | None
    """Samples per role."""
    exact: bool
    """Whether every sample counts: contents decide about shares, and unreadable ones may go."""


def previewed(data: Described, kind: Kind = "images") -> Preview:
    """Give what is known of the data; of remote ones, only whether they are there.

    Raises:
        DataError: lists every location that is not there; or the files are of no kind or of
            several, or do not fit their kind, or the classes have no names or several.
    """
    absent = list(_absent(data))
    if absent:
        raise DataError("; ".join(absent))
    classes = class_names(data.classes) if isinstance(data.classes, str) else data.classes
    by_torchvision = isinstance(data, BenchmarkData) and BENCHMARKS[data.torchvision].dataset
    if by_torchvision or any(is_url(place) for place in locations(data)):
        return Preview(classes, None, exact=False)
    parts = parts_of(data)
    found = records_of(data, parts, classes, kind)
    names = agreed_classes(parts, found, classes)
    totals = dict.fromkeys((role for part in parts for role in part.shares), 0.0)
    for part, records in zip(parts, found, strict=True):
        if records.count is None:
            return Preview(names, None, exact=False)
        count = records.count()
        for role, share in part.shares.items():
            totals[role] += share * count
    divided = any(len(part.shares) > 1 for part in parts)
    exact = not divided and data.shared == "refuse" and not data.skip_unreadable
    return Preview(names, {role: round(total) for role, total in totals.items()}, exact)


def _absent(data: Described) -> Iterator[str]:
    for place in locations(data):
        try:
            if not is_there(place):
                yield f"{place}: no such file or folder"
        except DataError as error:
            yield str(error)


def locations(data: Described) -> Iterator[str]:
    """Yield every path, glob and URL that the data name."""
    if isinstance(data, WholeData):
        yield data.path
    elif isinstance(data, RoleData):
        places = (getattr(data, role) for role in ROLE_ORDER)
        yield from (place for place in places if place is not None)
    else:
        root, benchmark = data.root.rstrip("/"), BENCHMARKS[data.torchvision]
        yield f"{root}/{benchmark.files}"
        yield from (f"{root}/{name}" for split in benchmark.splits for name in split.lists)
    if isinstance(data.classes, str):
        yield data.classes
