"""The launch file for machines of one's own, by `ray up` over SSH.

The machine is a namespace: it has its own network, so that no port is taken, and its own
processes, so that the `ray stop` of `ray up` and `ray down` ends no others.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from tests.cluster.conftest import assert_same
from tests.cluster.hosts import RAY, TOKEN, call, end, environment_of, processes, wait_until
from tests.cluster.networks import hosts, missing
from tests.launch.files import changed

pytestmark = [pytest.mark.ray, pytest.mark.slow]
INSTALL = (
    "  - ~/distmerge/.venv/bin/pip install --constraint ~/distmerge/constraints.txt "
    '"$HOME/distmerge[s3,zoo]"\n'
)
STATUS = "RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=~/.ray/cluster_token/auth_token ray status"
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin") or ""
SETTINGS = """
ListenAddress 127.0.0.1
HostKey {folder}/key
AuthorizedKeysFile {folder}/key.pub
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
PidFile none
SetEnv HOME={folder}/home {others}
"""
SET = (
    "RAY_TMPDIR",
    "DISTMERGE_CACHE",
    "OMP_NUM_THREADS",
    "RAY_memory_monitor_refresh_ms",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER",
)


class Machine(NamedTuple):
    """What one can do from beside it."""

    name: str
    environment: dict[str, str]
    launch_file: Path

    def call(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Give what a command said on a machine in the same network."""
        return call(self.environment, ["ip", "netns", "exec", self.name, *command])


@pytest.fixture
def machine(short: Path) -> Iterator[Machine]:
    """A machine with an SSH server, and a person with its key and a token."""
    tools = [name for name in ("ssh", "ssh-keygen", "rsync", "unshare") if not shutil.which(name)]
    if reason := missing() or (f"no {', '.join(tools)}" if tools else "" if SSHD else "no sshd"):
        pytest.skip(reason)
    home, me = short / "home", short / "me"
    (home / "distmerge").mkdir(parents=True)
    (home / "distmerge" / ".venv").symlink_to(Path(sys.prefix))
    (tokens := me / ".ray" / "cluster_token").mkdir(parents=True)
    (tokens / "auth_token").write_text(TOKEN)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", short / "key"], check=True)
    environment = environment_of(short)
    others = " ".join(f"{name}={environment[name]}" for name in SET)
    environment |= {"HOME": str(me), "RAY_TMPDIR": str(me), "RAY_UP_enable_autoscaler_v2": "0"}
    (short / "sshd").write_text(SETTINGS.format(folder=short, others=others))
    start = f"mount -t tmpfs none /run && mkdir /run/sshd && exec {SSHD} -D -e -f {short}/sshd"
    inside = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", start]
    with hosts(1) as found, (short / "sshd.log").open("w") as log:
        server = subprocess.Popen(
            ["ip", "netns", "exec", found.names[0], *inside],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield Machine(found.names[0], environment, launch_file(short))
        finally:
            end(server)


def launch_file(folder: Path) -> Path:
    """Give the shipped file as its user changes it; what `pip install` would bring is there."""
    text = changed(
        "onprem",
        ("&head mine", "&head 127.0.0.1"),
        ("&workers # ", "&workers [] # "),
        ("    - mine\n    - mine\n", ""),
        ("&user mine", "&user root"),
        ("&key ~/key", f"&key {folder}/key"),
        ("cluster_name: distmerge", f"cluster_name: {folder.name}"),
        (INSTALL, ""),
    )
    (path := folder / "onprem.yaml").write_text(text)
    return path


def test_a_study_runs_on_machines_of_ones_own_from_up_to_down(
    machine: Machine, study: Path, rows: pd.DataFrame
) -> None:
    checked = machine.call(
        sys.executable, "-m", "distmerge.cli", "cluster", "check", str(machine.launch_file)
    )
    assert checked.returncode == 0, checked.stderr
    up = machine.call(RAY, "up", "--yes", str(machine.launch_file))
    assert up.returncode == 0, up.stdout + up.stderr
    results = study.parent / "up"
    job = machine.call(
        sys.executable, "-m", "distmerge.cli", "submit", str(study), "--storage", str(results)
    )
    assert job.stdout.endswith("job      tiny-1 SUCCEEDED\n"), job.stdout + job.stderr
    assert_same(results, rows)
    status = machine.call(RAY, "exec", str(machine.launch_file), STATUS)
    assert "1 local.cluster.node" in status.stdout, status.stdout + status.stderr
    down = machine.call(RAY, "down", "--yes", str(machine.launch_file))
    assert down.returncode == 0, down.stdout + down.stderr
    wait_until(lambda: not processes("raylet/raylet", str(study.parent)), "end", 30)
