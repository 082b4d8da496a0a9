"""Heads and workers, started as a person starts them; each is ended by its process id."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
RAY = str(BIN / "ray")
TOKEN = "a" * 64
STORE_BYTES = 100_000_000
PATIENCE_S = 150.0


class Head(NamedTuple):
    """A running head."""

    environment: dict[str, str]
    """Reaches it, with the token and the dashboard's address."""
    address: str
    """HOST:PORT."""
    dashboard: str
    """http://HOST:PORT."""


def environment_of(folder: Path) -> dict[str, str]:
    """Give what all hosts and drivers of a cluster have; its files lie in a short folder."""
    found = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_TMPDIR": str(folder),
        "DISTMERGE_CACHE": str(folder / "cache"),
        "RAY_memory_monitor_refresh_ms": "0",  # other programs may fill this machine's memory
    }
    found.pop("RAY_ADDRESS", None)
    return found


@contextmanager
def head(folder: Path, *options: str, host: str = "127.0.0.1", within: str = "") -> Iterator[Head]:
    """Hold a head; it listens on loopback unless it has a host's address.

    Args:
        folder: a short one.
        options: of ``ray start``.
        host: its address.
        within: network namespace to start it in.
    """
    port, dashboard = free_port(), free_port()
    environment = environment_of(folder)
    if host != "127.0.0.1":
        environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "1"
        options += (f"--node-ip-address={host}", f"--dashboard-host={host}")
    options += (f"--port={port}", f"--dashboard-port={dashboard}")
    try:
        with ray_start(environment, "--head", *options, within=within):
            wait_for(host, dashboard)
            url = f"http://{host}:{dashboard}"
            environment["RAY_API_SERVER_ADDRESS"] = url
            yield Head(environment, f"{host}:{port}", url)
    finally:
        for pid in processes(str(folder)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def ray_start(environment: dict[str, str], *options: str, within: str = "") -> Iterator[int]:
    """Hold what ``ray start`` starts, in a process group of its own; yields its leader."""
    command = [RAY, "start", "--block", "--disable-usage-stats"]
    command += [f"--object-store-memory={STORE_BYTES}", *options]
    command += [f"--dashboard-agent-listen-port={free_port()}"]
    folder = Path(environment["RAY_TMPDIR"])
    if within:
        command = ["ip", "netns", "exec", within, *_with_own_files(folder, within), *command]
    with (folder / f"{time.monotonic_ns()}.log").open("w") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True, cwd=folder
        )
    try:
        yield process.pid
    finally:
        end(process)


def _with_own_files(folder: Path, name: str) -> list[str]:
    """Give what starts a command with a folder for Ray's files that no other host sees."""
    (own := folder / name).mkdir()
    (seen := folder / "ray").mkdir(exist_ok=True)
    return ["sh", "-c", f'mount --bind {own} {seen} && exec "$@"', "sh"]


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and its group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                continue


def processes(*words: str) -> list[int]:
    """Give those with all words in their command line; a temporary folder names its own."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # a process may end while we look
            line = (folder / "cmdline").read_bytes().decode(errors="replace")
            if all(word in line for word in words) and int(folder.name) != os.getpid():
                found.append(int(folder.name))
    return found


def wait_for_state(results: Path, patience_s: float = 540) -> None:
    """Wait until a run is in the middle of its optimisation."""
    wait_until(lambda: bool(list(results.glob("_runs/tiny/*.safetensors"))), "state", patience_s)


def wait_until(holds: Callable[[], bool], what: str, patience_s: float) -> float:
    """Wait; give the seconds."""
    start = time.monotonic()
    while not holds():
        assert time.monotonic() < start + patience_s, f"no {what} in {patience_s} s"
        time.sleep(0.1)
    return time.monotonic() - start


def free_port() -> int:
    """Give a port that nobody has, outside the range of Ray's workers."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def wait_for(host: str, port: int) -> None:
    """Wait until somebody listens."""
    wait_until(lambda: _listens(host, port), f"answer of {host}:{port}", PATIENCE_S)


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def call(
    environment: dict[str, str], command: Sequence[str], timeout_s: float = 540
) -> "subprocess.CompletedProcess[str]":
    """Give what a command in the repository's folder said and how it ended."""
    return subprocess.run(
        command,
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


def submit(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Call ``distmerge submit``."""
    return call(environment, [sys.executable, "-m", "distmerge.cli", "submit", *arguments])
