"""WebDataset shards: tar files in which KEY.jpg (or .png, ...) stands beside KEY.cls."""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from distmerge.errors import DataError
from distmerge.tasks.image_folder import SUFFIXES
from distmerge.tasks.listing import File, Listing, readable
from distmerge.tasks.records import Record, Records, Wanted

SHARDS = (".tar", ".tar.gz", ".tgz")


def shard_records(listing: Listing, wanted: Wanted) -> Records:
    """Give the images of tar shards, in their order; the class names are the study's."""
    return Records(None, _stream(listing, wanted))


def _stream(listing: Listing, wanted: Wanted) -> Iterator[Record]:
    for file in listing.files:
        if file.name.endswith(SHARDS):
            for key, sample in _samples(listing, file):
                yield from _records(f"{file.name}:{key}", sample, wanted)


def _samples(listing: Listing, file: File) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Give the neighbours of one key, by suffix.

    Raises:
        DataError: the file cannot be read, or is no complete tar file.
    """
    place, key, sample = f"{listing.location}, {file.name}", "", dict[str, bytes]()
    try:
        with readable(place), _opened(listing, file) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content is None:
                    continue
                folder, slash, name = member.name.rpartition("/")
                stem, _, suffix = name.partition(".")
                if folder + slash + stem != key:
                    yield key, sample
                    key, sample = folder + slash + stem, {}
                sample[f".{suffix.lower()}"] = content.read()
            yield key, sample
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"{place}: no complete tar file ({error})") from error


@contextmanager
def _opened(listing: Listing, file: File) -> Iterator[tarfile.TarFile]:
    with listing.open(file) as stream, tarfile.open(fileobj=stream, mode="r|*") as archive:
        yield archive


def _records(address: str, sample: dict[str, bytes], wanted: Wanted) -> Iterator[Record]:
    """Give KEY.jpg, or what ends like it where the key's name has further points."""
    plain = [suffix for suffix in sample if suffix in SUFFIXES]
    for suffix in plain or [suffix for suffix in sample if suffix.endswith(SUFFIXES)]:
        label = _label(address, sample, suffix.rpartition(".")[0]) if wanted.labelled else None
        yield Record(address + suffix, partial(bytes, sample[suffix]), label)


def _label(address: str, sample: dict[str, bytes], points: str) -> int | str:
    content = sample.get(f"{points}.cls", sample.get(".cls"))
    if content is None:
        key = f"{address.rpartition(':')[2]}{points}"
        raise DataError(f"{address}{points}: expected its label in {key}.cls")
    text = content.decode("utf-8", "replace").strip()
    return int(text) if text.lstrip("-").isdecimal() else text
