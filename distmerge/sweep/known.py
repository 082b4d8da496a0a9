"""What earlier sweeps found out about files that have not changed since."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from distmerge import __version__
from distmerge.coordinator import Digests, FeatureKey, Source
from distmerge.files import whole_file
from distmerge.spec import digest
from distmerge.tasks import ARRAYS_REVISION, Role, listed


def remember(cache: Path, source: Source, crossed: tuple[Role, ...], digests: Digests) -> None:
    """Keep the digests for as long as no file changes; nothing where that cannot be told."""
    place = _place(cache, source, crossed)
    if place is None:
        return
    with whole_file(place) as unfinished:
        unfinished.write_text(json.dumps(asdict(digests)))


def remembered(cache: Path, source: Source, crossed: tuple[Role, ...]) -> Digests | None:
    """Give the digests of exactly these files, None if no sweep has read them as they are now."""
    place = _place(cache, source, crossed)
    if place is None or not place.exists():
        return None
    content = json.loads(place.read_text())
    keys = tuple(FeatureKey(*key) for key in content.pop("keys"))
    return Digests(keys=keys, **content)


def _place(cache: Path, source: Source, crossed: tuple[Role, ...]) -> Path | None:
    if not all(isinstance(task.data, Path) for task in source.files.tasks):
        return None
    settings = [source.images.model_dump(), source.transductive, source.unseen, source.levels]
    asked = [__version__, ARRAYS_REVISION, source.corruption_seed, crossed, *settings]
    names = [task.name for task in source.files.tasks]
    stamps = [_stamp(path) for path in _files(source)]
    return cache / "digests" / f"{digest([asked, names, stamps])}.json"


def _files(source: Source) -> Iterator[Path]:
    yield from (source.files.tower, source.files.base)
    for task in source.files.tasks:
        yield from (task.checkpoint, task.head)
        assert isinstance(task.data, Path)
        yield from (Path(file.path) for file in listed(str(task.data)).files)


def _stamp(path: Path) -> list[object]:
    """Give what changes whenever a file is written; the time of change cannot be set back."""
    stat = path.stat()
    return [str(path.absolute()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
