"""Whole Parquet files in a folder or under an S3 prefix: never half a file, never a marker."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distmerge.errors import ResultsError
from distmerge.files import whole_file

if TYPE_CHECKING:
    import pyarrow.fs as pafs


@dataclass(frozen=True)
class Folder:
    """The place of a dataset; every path given or taken starts with ``root``."""

    filesystem: "pafs.FileSystem"
    root: str

    def write(self, path: str, content: bytes) -> None:
        """Store ``content`` as one file, in place of an older one of that name.

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
            raise ResultsError(f"{path}: cannot write ({error})") from error

    def probe(self) -> None:
        """Write an empty file below the root; locally nothing of it is left.

        Raises:
            ResultsError: the place cannot be written.
        """
        root = Path(self.root)
        new = [folder for folder in (root, *root.parents) if not folder.exists()]
        path = f"{self.root}/_writable"
        self.write(path, b"")
        if self._is_local():
            Path(path).unlink()
            for folder in new:
                folder.rmdir()

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
            raise ResultsError(f"{path}: cannot read ({error})") from error
        return content

    def withdraw(self, path: str, empty: bytes) -> None:
        """Take a file's rows out of the dataset; it may already be gone.

        Args:
            path: the file.
            empty: a file without rows. It takes the old one's place where deleting is unsafe:
                on S3, pyarrow would leave a directory marker that s3fs cannot read.

        Raises:
            ResultsError: the file cannot be removed.
        """
        if not self._is_local():
            self.write(path, empty)
            return
        try:
            Path(path).unlink(missing_ok=True)
        except OSError as error:
            raise ResultsError(f"{path}: cannot remove ({error})") from error

    def parquet_files(self, path: str) -> list[str]:
        """Give the finished Parquet files below ``path``, sorted; none if it does not exist.

        Raises:
            ResultsError: the place cannot be listed.
        """
        from pyarrow.fs import FileSelector

        try:
            found = self.filesystem.get_file_info(
                FileSelector(path, recursive=True, allow_not_found=True)
            )
        except OSError as error:
            raise ResultsError(f"{path}: cannot list ({error})") from error
        return sorted(
            info.path
            for info in found
            if info.is_file and info.extension == "parquet" and not info.base_name.startswith(".")
        )

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
        except (OSError, ArrowInvalid) as error:
            raise ResultsError(f"{path}: cannot read ({error})") from error
        return values[0] if values else None


def open_folder(root: str) -> Folder:
    """Give the folder at a path or URL; nothing is created yet.

    Raises:
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
        filesystem, path = FileSystem.from_uri(root)
    except (OSError, ArrowException) as error:
        raise ResultsError(f"{root}: cannot open; expected s3://BUCKET/PREFIX ({error})") from error
    return Folder(filesystem, path.rstrip("/"))


def _write_and_rename(target: Path, content: bytes) -> None:
    # Readers skip a leading dot (pyarrow, pandas) or match *.parquet only (DuckDB, polars).
    with whole_file(target) as unfinished, unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
