"""What earlier sweeps found out about files that have not changed since."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from distmerge import __version__
from distmerge.coordinator import FEATURES_REVISION, Digests, FeatureKey, Source
from distmerge.files import file_stamp, whole_file
from distmerge.models import HEADS_REVISION
from distmerge.spec import TaskFiles, TextTower, ZeroShotHead, digest, is_url, load_tower_config
from distmerge.tasks import ARRAYS_REVISION, CORRUPTED_REVISION, Role, listed, locations

_REVISIONS = (ARRAYS_REVISION, CORRUPTED_REVISION, FEATURES_REVISION, HEADS_REVISION)


def known_place(cache: Path, source: Source, crossed: tuple[Role, ...]) -> Path | None:
    """Give where the digests of exactly these files as they are now lie, or would lie.

    None where that cannot be told. What is to be remembered there is read afterwards: a file that
    changes meanwhile has another place from then on.

    Raises:
        ConfigError: the tower's description cannot be read.
        DataError: data cannot be listed.
        OSError: a file is missing.
    """
    if any(is_url(place) for task in source.files.tasks for place in _places(task)):
        return None
    settings = [source.images.model_dump(), source.transductive, source.unseen, source.levels]
    asked = [__version__, _REVISIONS, source.corruption_seed, crossed, source.bank, *settings]
    tasks = [task.model_dump(mode="json") for task in source.files.tasks]
    stamps = [file_stamp(path) for path in _files(source)]
    return cache / "digests" / f"{digest([asked, tasks, stamps])}.json"


def remember(place: Path | None, digests: Digests) -> None:
    """Keep the digests for as long as no file changes; nothing where nothing can be written."""
    if place is None:
        return
    with suppress(OSError), whole_file(place) as unfinished:  # else all is read again next time
        unfinished.write_text(json.dumps(asdict(digests)))


def remembered(place: Path | None) -> Digests | None:
    """Give the digests that lie in a place, None if no sweep has read the files as they are now."""
    if place is None or not place.exists():
        return None
    content = json.loads(place.read_text())
    keys = tuple(FeatureKey(*key) for key in content.pop("keys"))
    return Digests(keys=keys, **content)


def _files(source: Source) -> Iterator[Path]:
    yield from (source.files.tower, source.files.base)
    yield from _tokenizer(source.files.tower)
    for task in source.files.tasks:
        heads = task.head.files.values() if isinstance(task.head, ZeroShotHead) else [task.head]
        yield from (task.checkpoint, *heads)
        for place in _places(task):
            yield from (Path(file.path) for file in listed(place).files)


def _tokenizer(tower: Path) -> list[Path]:
    """Give the file of the tower's tokenizer, if it has one; tokens need none."""
    config = load_tower_config(tower)
    if not isinstance(config, TextTower) or config.preprocess.tokenizer is None:
        return []
    path = tower.with_name(config.preprocess.tokenizer)
    return [path] if path.exists() else []


def _places(task: TaskFiles) -> list[str]:
    return [str(task.data)] if isinstance(task.data, Path) else list(locations(task.data))
