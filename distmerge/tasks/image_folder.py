"""Images in a folder, with a sub-folder per class or flat."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from distmerge.errors import DataError
from distmerge.spec import is_url
from distmerge.tasks.listing import File, Listing
from distmerge.tasks.records import Record, Records, Wanted

SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm",
)  # fmt: skip
_BESIDE = (
    ".txt",
    ".json",
    ".jsonl",
    ".csv",
    ".tsv",
    ".md",
    ".xml",
    ".yaml",
    ".yml",
)  # lists and notes


def folder_records(listing: Listing, wanted: Wanted) -> Records:
    """Give the images below a folder; its sub-folders, sorted, are the classes.

    Raises:
        DataError: an image lies outside the class folders, a class folder is empty or unknown, or
            there are files that are neither images nor text.
    """
    _refuse_others(listing, wanted)
    images = [file for file in listing.files if file.name.lower().endswith(SUFFIXES)]
    if not wanted.labelled:
        return Records(None, _stream(listing, images, {}), partial(len, images))
    outside = [file.name for file in images if "/" not in file.name]
    if outside:
        raise DataError(
            f"{listing.location}: {len(outside)} images lie outside of class sub-folders "
            f"({', '.join(outside[:5])}); expected CLASS/IMAGE"
        )
    labels = {file.name: file.name.partition("/")[0] for file in images}
    found = tuple(sorted(set(labels.values())))
    _refuse_folders(listing, found, wanted)
    return Records(found, _stream(listing, images, labels), partial(len, images))


def _stream(listing: Listing, images: list[File], labels: dict[str, str]) -> Iterator[Record]:
    for file in images:
        yield Record(file.name, partial(listing.read, file), labels.get(file.name))


def _refuse_others(listing: Listing, wanted: Wanted) -> None:
    known = (*SUFFIXES, *_BESIDE)
    others = [file.name for file in listing.files if not file.name.lower().endswith(known)]
    if len(others) > wanted.skip_unreadable:
        raise DataError(
            f"{listing.location}: {len(others)} files are no images by their suffix, "
            f"{wanted.skip_unreadable} may (skip_unreadable): {', '.join(others[:5])}; expected "
            f"{', '.join(SUFFIXES)}: convert, rename or remove them"
        )


def _refuse_folders(listing: Listing, found: tuple[str, ...], wanted: Wanted) -> None:
    if wanted.classes is not None:
        unknown = [name for name in found if name not in wanted.classes]
        if unknown:
            raise DataError(
                f"{listing.location}: {len(unknown)} sub-folders are not among the "
                f"{len(wanted.classes)} names of classes ({', '.join(unknown[:5])})"
            )
        return
    if is_url(listing.location):
        return  # object stores have no empty folders
    folders = (path for path in sorted(Path(listing.location).expanduser().iterdir()))
    names = [path.name for path in folders if path.is_dir() and not path.name.startswith(".")]
    empty = [name for name in names if name not in found and name != "__MACOSX"]
    if empty:
        raise DataError(
            f"{listing.location}: {len(empty)} class folders hold no images "
            f"({', '.join(empty[:5])}); remove them, or list all class names under classes"
        )
