"""Whole Parquet files in a folder or under an S3 prefix: never half a file, never a marker."""

import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from distmerge.errors import ResultsError, UnavailableError
from distmerge.files import whole_file
from distmerge.remote import may_recover, reason, without_secret

if TYPE_CHECKING:
    import pyarrow.fs as pafs

Result = TypeVar("Result")
PATIENCE_S = 120.0
"""For how long what the storage does not answer is repeated."""
PROBE = "_writable"
"""What remains on S3 of the test whether the place can be written."""
_LONGEST_WAIT_S = 15.0


@dataclass(frozen=True)
class Folder:
    """The place of a dataset; every path given or taken starts with ``root``."""

    filesystem: "pafs.FileSystem"
    root: str

    def write(self, path: str, content: bytes) -> None:
        """Store ``content`` as one file, in place of an older one of that name.

        On S3 that is one PUT, or for large content one upload that shows when it is complete.

        Raises:
            ResultsError: the place cannot be written.
        """
        try:
            if self._is_local():
                _write_and_rename(Path(path), content)
            else:
                with self.filesystem.open_output_stream(path) as stream:
                    stream.write(content)
        except OSError as error:
            raise self.failure(path, "write", error) from error

    def probe(self) -> None:
        """Write an empty file below the root and delete it, so that both rights are known.

        A local root that is not there yet is not made: the folder is tried that it would be made
        in. Others may probe it, or make it, at the same time.

        Raises:
            ResultsError: the place cannot be written.
        """
        place = f"{self.root}/{PROBE}"
        if self._is_local():
            root = Path(self.root)
            there = next(folder for folder in (root, *root.parents) if os.path.lexists(folder))
            place = str(there / PROBE)
        path = f"{place}{'-' if self._is_local() else '/'}{uuid.uuid4().hex}"  # no new local folder
        self.write(path, b"")
        self.remove(path)

    def _is_local(self) -> bool:
        from pyarrow.fs import LocalFileSystem

        return isinstance(self.filesystem, LocalFileSystem)

    def read(self, path: str) -> bytes:
        """Give the content of a file.

        Raises:
            ResultsError: it is missing or cannot be read.
        """
        try:
            with self.filesystem.open_input_stream(path) as stream:
                content: bytes = stream.read()
        except OSError as error:
            raise self.failure(path, "read", error) from error
        return content

    def find(self, path: str) -> bytes:
        """Give the content of a file; nothing if there is none.

        Raises:
            ResultsError: it cannot be read.
        """
        try:
            return self.read(path)
        except ResultsError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return b""
            raise

    def withdraw(self, path: str, empty: bytes) -> None:
        """Take a file's rows out of the dataset; it may already be gone.

        Args:
            path: the file.
            empty: a file without rows. It takes the old one's place where deleting is unsafe:
                on S3, pyarrow would leave a directory marker that s3fs cannot read.

        Raises:
            ResultsError: the file cannot be removed.
        """
        if self._is_local():
            self.remove(path)
        else:
            self.write(path, empty)

    def remove(self, path: str) -> None:
        """Delete a file; it may already be gone.

        On S3 pyarrow may leave a directory marker, which readers skip only below folders whose
        name begins with ``_``; elsewhere, ``withdraw``.

        Raises:
            ResultsError: the file cannot be removed.
        """
        try:
            self.filesystem.delete_file(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self.failure(path, "remove", error) from error

    def files(self, path: str) -> list[str]:
        """Give all files below ``path``, sorted; none if it does not exist.

        Raises:
            ResultsError: the place cannot be listed, or its bucket does not exist.
        """
        from pyarrow.fs import FileSelector

        try:
            found = self.filesystem.get_file_info(
                FileSelector(path, recursive=True, allow_not_found=True)
            )
            missing = not found and self._lacks_bucket()
        except OSError as error:
            raise self.failure(path, "list", error) from error
        if missing:
            raise self.failure(path, "list", FileNotFoundError("the bucket does not exist"))
        return sorted(info.path for info in found if info.is_file)

    def _lacks_bucket(self) -> bool:
        from pyarrow.fs import FileType

        bucket = self.root.partition("/")[0]
        kind = self.filesystem.get_file_info(bucket).type if bucket else FileType.Directory
        return bool(kind == FileType.NotFound)

    def parquet_files(self, path: str) -> list[str]:
        """Give the finished Parquet files below ``path``, sorted; none if it does not exist.

        Raises:
            ResultsError: the place cannot be listed, or its bucket does not exist.
        """
        names = {file: file.rpartition("/")[2] for file in self.files(path)}
        return [
            file
            for file, name in names.items()
            if name.endswith(".parquet") and not name.startswith(".")
        ]

    def first_value(self, path: str, column: str) -> Any:
        """Give the first row's value of a column, or None if there is no file or no row.

        Raises:
            ResultsError: the file cannot be read.
        """
        from pyarrow import ArrowInvalid, parquet

        try:
            with self.filesystem.open_input_file(path) as file:
                values = parquet.read_table(file, columns=[column])[column].to_pylist()
        except FileNotFoundError:
            return None
        except ArrowInvalid as error:
            raise ResultsError(f"{path}: cannot read ({error})") from error
        except OSError as error:
            raise self.failure(path, "read", error) from error
        return values[0] if values else None

    def failure(self, path: str, doing: str, error: OSError) -> ResultsError:
        """Give an error of the file system in words, as one that may pass where it may."""
        if self._is_local():
            return ResultsError(f"{path}: cannot {doing} ({error})")
        url = f"{self.filesystem.type_name}://{path}"
        kind = UnavailableError if may_recover(error) else ResultsError
        return kind(f"{url}: cannot {doing}: {reason(error, url)}")


def open_folder(root: str) -> Folder:
    """Give the folder at a path or URL; nothing is created yet.

    Raises:
        ConfigError: the URL holds a password or key.
        ResultsError: the URL names no file system that pyarrow knows, or it does not answer.
    """
    from pyarrow import ArrowException
    from pyarrow.fs import FileSystem, LocalFileSystem

    if "://" not in root:
        return Folder(LocalFileSystem(), str(Path(root).expanduser().absolute()))
    if root.startswith("s3://"):
        # Delayed, a small file is one PUT; otherwise pyarrow starts a multipart upload.
        root += ("&" if "?" in root else "?") + "allow_delayed_open=true"
    try:
        filesystem, path = FileSystem.from_uri(without_secret(root))
    except (OSError, ArrowException) as error:
        raise ResultsError(f"{root}: cannot open; expected s3://BUCKET/PREFIX ({error})") from error
    return Folder(filesystem, path.rstrip("/"))


def patiently(action: Callable[[], Result], patience_s: float = PATIENCE_S) -> Result:
    """Give what ``action`` gives; while the storage does not answer, do it again.

    Args:
        action: reads or writes; done twice it must leave what it leaves once.
        patience_s: after how many seconds to give up, in all.

    Raises:
        UnavailableError: the storage did not answer in that time.
    """
    wait_s, end = 1.0, time.monotonic() + patience_s
    while True:
        try:
            return action()
        except UnavailableError as error:
            if time.monotonic() + wait_s > end:
                raise UnavailableError(f"{error}; tried for {patience_s:g} s") from error
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


def _write_and_rename(target: Path, content: bytes) -> None:
    # Readers skip a leading dot (pyarrow, pandas) or match *.parquet only (DuckDB, polars).
    with whole_file(target) as unfinished, unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
