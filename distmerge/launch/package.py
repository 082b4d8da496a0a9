"""What travels to a cluster with a job: a folder, as Ray packs it."""

import logging
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from distmerge.errors import ConfigError, problem_list

ENTRY = "jobs/sweep.py"
_MIB = 2**20
_NUM_SHOWN = 5


class Package(NamedTuple):
    """A packed folder."""

    file: Path
    """Zip file; a working_dir of Ray."""
    names: frozenset[str]
    """The files in it, relative to the folder."""

    @property
    def mib(self) -> float:
        """Its size in MiB."""
        return self.file.stat().st_size / _MIB

    def has(self, location: str) -> bool:
        """Whether a relative path or glob names something that travels."""
        wanted = Path(location).as_posix()
        return any(fnmatch(name, wanted) or fnmatch(name, f"{wanted}/*") for name in self.names)


@contextmanager
def packed(folder: Path) -> Iterator[Package]:
    """Hold a folder packed as ``ray job submit --working-dir`` packs it.

    ``.gitignore`` and ``.rayignore`` name what stays behind.

    Raises:
        ConfigError: the entry script is not in it, or it is more than Ray takes.
    """
    from ray._private.ray_constants import get_runtime_env_default_excludes
    from ray._private.runtime_env.packaging import GCS_STORAGE_MAX_SIZE, create_package

    with TemporaryDirectory(prefix="distmerge-") as scratch:
        file = Path(scratch) / "job.zip"
        create_package(
            str(folder),
            file,
            include_gitignore=True,
            excludes=get_runtime_env_default_excludes(),
            logger=logging.getLogger(__name__),
        )
        with zipfile.ZipFile(file) as content:
            sizes = {info.filename: info.file_size for info in content.infolist()}
        package = Package(file, frozenset(sizes))
        if ENTRY not in sizes:
            raise ConfigError(
                f"{folder.absolute()}: no {ENTRY} that travels with a job; expected the folder of "
                "distmerge's sources: change to it"
            )
        if file.stat().st_size >= GCS_STORAGE_MAX_SIZE:
            raise ConfigError(_too_large(package, sizes, GCS_STORAGE_MAX_SIZE))
        yield package


def _too_large(package: Package, sizes: dict[str, int], limit: int) -> str:
    largest = sorted(sizes, key=lambda name: -sizes[name])[:_NUM_SHOWN]
    return problem_list(
        f"the folder weighs {package.mib:.0f} MiB packed, expected less than {limit / _MIB:.0f}; "
        "name in .rayignore what the job does not need. The largest files are",
        [f"{name}: {sizes[name] / _MIB:.0f} MiB" for name in largest],
    )
