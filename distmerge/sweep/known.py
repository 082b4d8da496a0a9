"""What earlier sweeps found out about files that have not changed since."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from distmerge import __version__
from distmerge.coordinator import Digests, FeatureKey, Source
from distmerge.files import file_stamp, whole_file
from distmerge.spec import TaskFiles, ZeroShotHead, digest, is_url
from distmerge.tasks import ARRAYS_REVISION, Role, listed, locations


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
    if any(is_url(place) for task in source.files.tasks for place in _places(task)):
        return None
    settings = [source.images.model_dump(), source.transductive, source.unseen, source.levels]
    asked = [__version__, ARRAYS_REVISION, source.corruption_seed, crossed, *settings]
    tasks = [task.model_dump(mode="json") for task in source.files.tasks]
    stamps = [file_stamp(path) for path in _files(source)]
    return cache / "digests" / f"{digest([asked, tasks, stamps])}.json"


def _files(source: Source) -> Iterator[Path]:
    yield from (source.files.tower, source.files.base)
    for task in source.files.tasks:
        heads = task.head.files.values() if isinstance(task.head, ZeroShotHead) else [task.head]
        yield from (task.checkpoint, *heads)
        for place in _places(task):
            yield from (Path(file.path) for file in listed(place).files)


def _places(task: TaskFiles) -> list[str]:
    return [str(task.data)] if isinstance(task.data, Path) else list(locations(task.data))
