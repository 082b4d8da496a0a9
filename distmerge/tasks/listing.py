"""The files of one source, on a local disk or behind an fsspec URL, and what identifies them."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from distmerge.errors import ConfigError, DataError
from distmerge.files import whole_file
from distmerge.remote import is_client_error, open_url, reason, without_query
from distmerge.spec import digest, is_url

THREADS = min(16, os.cpu_count() or 1)
_WILD = frozenset("*?[")
_VERSIONS = (  # what file systems call one
    "mtime", "ETag", "etag", "md5Hash", "blob_id",
    "LastModified", "last_modified", "updated", "created",
)  # fmt: skip


class File(NamedTuple):
    """One file of a source."""

    name: str
    """Relative to the source."""
    path: str
    size: int
    version: str
    """Changes whenever the file is written; empty: the file system does not say."""


@dataclass(frozen=True)
class Listing:
    """The files of one source, sorted by name; hidden ones are left out."""

    location: str
    files: tuple[File, ...]
    system: Any = None
    """The fsspec file system; none: the local disk."""

    def open(self, file: File) -> Any:
        """Give the open binary file; fsspec's are of no common type.

        Raises:
            OSError: it cannot be read.
        """
        if self.system is None:
            return Path(file.path).open("rb")
        return self.system.open(file.path, "rb")

    def read(self, file: File) -> bytes:
        """Give a file's content.

        Raises:
            OSError: it cannot be read.
        """
        with self.open(file) as stream:
            return bytes(stream.read())

    def content_digest(self, cache: Path) -> str:
        """Give what identifies names and contents; files that did not change are not read again.

        Raises:
            DataError: a file cannot be read, or the cache cannot be written.
        """
        seen = digest([(file.path, file.size, file.version) for file in self.files])
        memory = cache / f"{digest([self.location, seen])}.contents"
        if memory.exists():
            return memory.read_text()
        with readable(self.location), ThreadPoolExecutor(THREADS) as pool:
            contents = list(pool.map(self._file_digest, self.files))
        found = digest([(f.name, f.size, c) for f, c in zip(self.files, contents, strict=True)])
        if all(file.version for file in self.files):
            with writable(cache), whole_file(memory) as unfinished:
                unfinished.write_text(found)
        return found

    def _file_digest(self, file: File) -> str:
        total = hashlib.sha256()
        with self.open(file) as stream:
            while block := stream.read(2**20):
                total.update(block)
        return total.hexdigest()


@contextmanager
def readable(location: str) -> Iterator[None]:
    """Turn what a file system says into an error that names the location.

    Raises:
        ConfigError: the location is a URL that holds a password or key.
        DataError: the location cannot be read.
    """
    try:
        yield
    except (ConfigError, DataError):  # they say where already
        raise
    except (OSError, ValueError, ImportError) as error:
        raise DataError(f"{without_query(location)}: {_unread(location, error)}") from error
    except Exception as error:
        if not is_client_error(error):
            raise
        raise DataError(f"{without_query(location)}: {reason(error, location)}") from error


def _unread(location: str, error: Exception) -> str:
    if is_url(location) or isinstance(error, ImportError):
        return reason(error, location)
    if isinstance(error, FileNotFoundError):
        return f"no such file or folder ({error})"
    if isinstance(error, PermissionError):
        return f"no permission to read it ({error})"
    return f"cannot read it ({error})"


@contextmanager
def writable(cache: Path) -> Iterator[None]:
    """Make the cache's folder, and turn what keeps it from being written into an error.

    Raises:
        DataError: the cache cannot be written.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise DataError(
            f"{cache}: cannot write the cache ({error}); set DISTMERGE_CACHE to a folder that can "
            "be written"
        ) from error


def listed(location: str) -> Listing:
    """Give the files at a location: a file, all those below a folder, or those of a glob.

    Raises:
        DataError: there is no such location, nothing is in it, or it cannot be read.
    """
    with readable(location):
        listing = _remote(location) if is_url(location) else _local(location)
    if not listing.files:
        raise DataError(f"{location}: holds no files")
    return listing


def is_there(location: str) -> bool:
    """Whether there is such a file or folder, or a match of such a glob.

    Raises:
        ConfigError: the location is a URL that holds a password or key.
        DataError: the file system cannot tell.
    """
    with readable(location):
        if is_url(location):
            system, place = open_url(location)
            return bool(system.exists(place) or (_fixed(place) != place and system.glob(place)))
        path = Path(location).expanduser()
        fixed = _fixed(path.as_posix())
        pattern = path.as_posix()[len(fixed) :].lstrip("/")
        return path.exists() or (bool(pattern) and any(Path(fixed).glob(pattern)))


def read_text(location: str) -> str:
    """Give the content of one text file.

    Raises:
        DataError: it cannot be read, or is no text.
    """
    listing = listed(location)
    with readable(location):
        return listing.read(listing.files[0]).decode("utf-8")


def class_names(location: str) -> tuple[str, ...]:
    """Give the class names in a file: one a line, or a JSON list.

    Raises:
        DataError: the file cannot be read, or is no such list.
    """
    text = read_text(location)
    if not text.lstrip().startswith("["):
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    try:
        return tuple(str(name) for name in json.loads(text))
    except ValueError as error:
        raise DataError(f"{location}: no JSON list of class names ({error})") from error


def _local(location: str) -> Listing:
    path = Path(location).expanduser()
    if path.is_file():
        return Listing(location, (_file(path, path.parent),))
    if path.is_dir():
        return Listing(location, tuple(_below(path)))
    fixed = _fixed(path.as_posix())
    if fixed == path.as_posix():
        raise FileNotFoundError(location)
    found = sorted(Path(fixed).glob(path.as_posix()[len(fixed) :].lstrip("/")))
    files = (_file(one, Path(fixed)) for one in found if one.is_file())
    seen = tuple(file for file in files if not any(map(_hidden, file.name.split("/"))))
    if not seen:
        raise FileNotFoundError(f"nothing matches {location}")
    return Listing(location, seen)


def _below(root: Path) -> Iterator[File]:
    for folder, below, names in os.walk(root, onerror=_raise, followlinks=True):
        below[:] = sorted(name for name in below if not _hidden(name))
        for name in sorted(names):
            if not _hidden(name):
                yield _file(Path(folder) / name, root)


def _raise(error: OSError) -> None:
    raise error


def _file(path: Path, root: Path) -> File:
    status = path.stat()
    name = path.relative_to(root).as_posix()
    return File(name, str(path), status.st_size, f"{status.st_mtime_ns} {status.st_ctime_ns}")


def _remote(location: str) -> Listing:
    system, path = open_url(location)
    fixed = _fixed(path)
    if fixed != path and not system.exists(path):
        found = system.glob(path, detail=True)
    elif system.isfile(path):
        fixed, found = path.rpartition("/")[0], {path: system.info(path)}
    else:
        found = system.find(path, detail=True)
    if not found:
        raise FileNotFoundError(location)
    names = {key: key.removeprefix(fixed).lstrip("/") for key in found}
    files = [
        File(names[key], key, info["size"] or 0, version_of(info))
        for key, info in sorted(found.items())
        if info["type"] == "file" and not any(map(_hidden, names[key].split("/")))
    ]
    return Listing(location, tuple(files), system)


def version_of(info: Mapping[str, object]) -> str:
    """Give what changes whenever a remote file is written; empty: its file system does not say."""
    return " ".join(f"{name}={info[name]}" for name in _VERSIONS if info.get(name))


def _fixed(path: str) -> str:
    """Give the folder above the first wildcard; the path itself without one."""
    parts = path.split("/")
    wild = [index for index, part in enumerate(parts) if _WILD & set(part)]
    return "/".join(parts[: wild[0]]) if wild else path


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
