"""Sweeps as processes of their own, each in a folder of its own: as a user starts them."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from distmerge.spec import ModelFiles, Study
from tests.sweep.studies import content_of

ROOT = Path(__file__).parents[2]
LONG = {"adamerging.steps": 300, "adamerging.batch_size": 4, "adamerging.keep": "best"}
LARGE = {"adamerging_pp.steps": 3, "adamerging_pp.batch_size": 20}
"""Needs more memory than the others."""
PIPELINES: list[dict[str, Any]] = [
    {"stages": ["weight_averaging"]},
    {"stages": ["task_arithmetic"], "trials": 3},
    {"stages": ["adamerging"], "settings": LONG},
    {"stages": ["adamerging_pp"], "settings": LARGE},
    {"stages": ["task_arithmetic", "surgery"], "trials": 2, "settings": {"surgery.steps": 30}},
]
CLUSTER = {"max_concurrent": 1, "actors": 2, "timeout_s": 200.0}
TRIAL, TASK_ACTOR, RECORDER = ".train", "TaskWorker", "Recorder"
NUM_FEATURES = 18  # of four models on three roles of their own and the base's on all: see the log
PATIENCE_S = 240.0
"""Longest wait for anything; a loaded machine takes a minute to start a sweep."""
_END_S = 20.0
_SETTLED_S = 0.3  # what was on its way when a process was killed has arrived by then
Found = TypeVar("Found")


class Sweep:
    """A study, the drivers that run it one after the other, and what they leave.

    Args:
        folder: an empty one with a short path, since Ray puts sockets there.
        files: the models.
        environment: of the drivers, beside this process's.
        changes: keys of the study that differ.
    """

    def __init__(
        self, folder: Path, files: ModelFiles, environment: Mapping[str, str], **changes: Any
    ) -> None:
        standard = {"pipelines": PIPELINES, "ray": CLUSTER, "checkpoint_s": 0, "block": 16}
        self.folder = folder
        self.results, self._file = folder / "results", folder / "study.yaml"
        self._log = folder / "log"
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        self.environment |= {"RAY_TMPDIR": str(folder), **environment}
        self._driver: subprocess.Popen[bytes] | None = None
        self._family: set[int] = set()
        self._change({**content_of(files, self.results), **standard, **changes})

    def _change(self, content: dict[str, Any]) -> None:
        self.study = Study.model_validate(content)
        self._file.write_text(yaml.safe_dump(content))

    def change(self, **changes: Any) -> None:
        """Edit the study's file."""
        self._change({**yaml.safe_load(self._file.read_text()), **changes})

    def start(self, *command: str, **environment: str) -> float:
        """Start a driver, by a command in front of it if one is given; give the time."""
        started = time.time()
        with self._log.open("wb") as log:
            self._driver = subprocess.Popen(
                [*command, sys.executable, "jobs/sweep.py", str(self._file)],
                cwd=ROOT,
                env={**self.environment, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return started

    @property
    def pid(self) -> int:
        """The driver."""
        assert self._driver
        return self._driver.pid

    def said(self) -> str:
        """Give what the last driver printed."""
        return self._log.read_text()

    def is_running(self) -> bool:
        """Whether the driver has not ended."""
        return self._driver is not None and self._driver.poll() is None

    def exit_code(self) -> int:
        """Give how the driver ended.

        Raises:
            TimeoutError: it has not, for minutes.
        """
        assert self._driver
        self._note_family()
        try:
            code = self._driver.wait(PATIENCE_S)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"the driver did not end: {self.said()}") from error
        return code

    def kill(self, pid: int | None = None, number: signal.Signals = signal.SIGKILL) -> float:
        """Send a process of the sweep, else the driver, a signal; give the time."""
        self._note_family()
        os.kill(pid or self.pid, number)
        return time.time()

    def wait_for(
        self, see: Callable[[], Found | None], what: str, patience_s: float = PATIENCE_S
    ) -> Found:
        """Give what ``see`` sees first, while the driver runs."""
        end = time.monotonic() + patience_s
        while not (seen := see()):
            assert time.monotonic() < end, f"no {what} in {patience_s} s: {self.said()}"
            assert self.is_running(), f"ended before {what}: {self.said()}"
            time.sleep(0.005)
        return seen

    def wait_for_line(self, start: str) -> None:
        """Wait until the driver prints a line that starts so."""
        self.wait_for(lambda: f"\n{start}" in f"\n{self.said()}", f"line {start!r}")

    def wait_for_state(self) -> None:
        """Wait until a run is in the middle of its optimisation."""
        self.wait_for(lambda: list(self.results.glob("_runs/tiny/*.safetensors")), "state")

    def wait_for_row(self, method: str) -> float:
        """Wait until a run of a method is stored; give the time when it was."""
        stored = self.wait_for(lambda: list(self.results.glob(f"study=*/method={method}/*")), "row")
        return stored[0].stat().st_mtime

    def learning_trial(self) -> int:
        """Give the process of a trial that is in the middle of its optimisation."""
        self.wait_for_state()
        return self.wait_for(lambda: self.workers(TRIAL), "trial")[-1]

    def workers(self, name: str) -> list[int]:
        """Give Ray's processes with ``name`` in their title that descend from the driver."""
        return titled(descendants(self.pid), name)

    def recovery_s(self, since: float) -> float:
        """Wait for the first row or state that is newer; give the seconds until then."""
        return self.wait_for(lambda: self._newer(since + _SETTLED_S), "recovery") - since

    def first_run_s(self, since: float) -> float:
        """Wait for the first run of a driver to end; give the seconds until then."""
        self.wait_for_line("run   1/")
        return time.time() - since

    def features_s(self, since: float) -> float:
        """Wait for all features of the individual models; give the seconds until then."""
        self.wait_for_line(f"features {NUM_FEATURES}/{NUM_FEATURES}")
        return time.time() - since

    def _newer(self, moment: float) -> float | None:
        times = []
        for folder in ("_runs", "study=*"):
            for path in self.results.glob(f"{folder}/**/*"):
                with contextlib.suppress(FileNotFoundError):
                    times.append(path.stat().st_mtime)
        return min((time for time in times if time > moment), default=None)

    def end(self) -> None:
        """Leave no process behind, whatever happened."""
        if self.is_running():
            self.kill()
        if self._driver:
            self._driver.wait(_END_S)
        end_all(self._family)

    def _note_family(self) -> None:
        if self.is_running():
            self._family |= set(descendants(self.pid))


def end_all(pids: Iterable[int]) -> None:
    """End those of the processes that belong to Ray or to these tests."""
    for pid in filter(is_of_ray, pids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> Iterator[int]:
    """Give the children of a process, and theirs."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # a process may end while we look
            children.setdefault(parent(int(folder.name)), []).append(int(folder.name))
    waiting = children.get(pid, [])
    while waiting:
        child = waiting.pop()
        yield child
        waiting += children.get(child, [])


def parent(pid: int) -> int:
    """Give the process that started this one."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def titled(pids: Iterable[int], name: str) -> list[int]:
    """Give those of Ray's workers whose title has ``name`` in it, oldest first."""
    return sorted(pid for pid in pids if (t := _title(pid)).startswith("ray::") and name in t)


def is_of_ray(pid: int) -> bool:
    """Whether a process is there, is no zombie, and belongs to Ray or to these tests."""
    return any(word in _title(pid) for word in ("ray", "tests.faults", "sweep.py"))


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
