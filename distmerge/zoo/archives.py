"""Files inside a package's archive, read without unpacking it to a disk."""

import io
import subprocess
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

from distmerge.errors import ZooError
from distmerge.zoo.clients import require_clients


def file_contents(archive: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Give the content of every wanted file of an npm tarball or a Debian package, by its name.

    Args:
        archive: the package's file.
        wanted: says of a name in the archive, such as ``usr/share/a.png``, whether to read it.

    Raises:
        ZooError: the archive cannot be read, or dpkg-deb is missing for a Debian package.
    """
    try:
        with _opened(archive) as tar:
            found = {
                name: content.read()
                for member in tar
                if member.isfile() and wanted(name := member.name.removeprefix("./"))
                if (content := tar.extractfile(member)) is not None
            }
    except (tarfile.TarError, EOFError, zlib.error, subprocess.CalledProcessError) as error:
        raise ZooError(
            f"{archive.name} cannot be read as an archive ({error}); delete {archive} and run again"
        ) from error
    return dict(sorted(found.items()))


def file_content(archive: Path, name: str) -> bytes:
    """Give the content of one file of an npm tarball or a Debian package.

    Raises:
        ZooError: the archive has no such file, or cannot be read.
    """
    found = file_contents(archive, lambda other: other == name)
    if not found:
        raise ZooError(
            f"{archive.name} has no file {name}; the zoo was made for another version of it"
        )
    return found[name]


def _opened(archive: Path) -> tarfile.TarFile:
    if archive.suffix == ".deb":
        require_clients(("dpkg-deb",), (archive.name,))
        command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
        done = subprocess.run(command, capture_output=True, check=True)  # noqa: S603
        return tarfile.open(fileobj=io.BytesIO(done.stdout))
    return tarfile.open(archive)
