"""Other programs that benchmarks run, in environments of their own on top of this one."""

import logging
import subprocess
import sys
import venv
from pathlib import Path
from typing import NamedTuple

_LOG = logging.getLogger(__name__)


class Peer(NamedTuple):
    """Where a peer's programs and packages are."""

    programs: Path
    library: Path


def peer(name: str) -> Peer | None:
    """Give the environment of what ``requirements/NAME.txt`` lists beside all that this one has.

    It is made on first use, without a second torch. None where its packages cannot be had: then
    only limits are measured, and the rows say so.

    Raises:
        CalledProcessError: the environment cannot be made.
    """
    listed = Path(__file__).parent / "requirements" / f"{name}.txt"
    place = Path(sys.prefix) / "peers" / name
    python, ready = place / "bin" / "python", place / listed.name
    if not ready.exists() or ready.read_text() != listed.read_text():
        _LOG.info("making the environment of %s", name)
        venv.create(place, with_pip=True, clear=True)
        (_library(python) / "parent.pth").write_text(f"{_library(Path(sys.executable))}\n")
        install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(listed)]
        done = subprocess.run(install, check=False, capture_output=True, text=True)  # noqa: S603
        if done.returncode:
            _LOG.warning("%s cannot be installed, so it is not measured: %s", name, done.stderr)
            return None
        ready.write_text(listed.read_text())
    return Peer(python.parent, _library(python))


def _library(python: Path) -> Path:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(subprocess.check_output([str(python), "-c", code], text=True).strip())  # noqa: S603
