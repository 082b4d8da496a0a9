"""Merges from files to a file as whole commands: ours, mergekit's and the bytes alone, in turns.

Eight files of ViT-B/32's size, 3 GB, lie in a temporary folder, so mostly in the page cache.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import load_file, save_file

from benchmarks.towers import VIT_B_32

NUM_TASKS = 8
SCALING, DENSITY = 0.25, 0.25
METHODS = {
    "task_arithmetic": [f"task_arithmetic.scaling={SCALING}"],
    "ties": [f"ties.scaling={SCALING}", f"ties.density={DENSITY}"],
}
_ROOT = Path(__file__).parents[1]
# A small process starts the command: a child's peak memory is at least that of who starts it.
_MEASURED = """
import json, os, subprocess, sys, time
start = time.perf_counter()
command = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(command.pid, 0)
wall, cpu = time.perf_counter() - start, usage.ru_utime + usage.ru_stime
print(json.dumps([wall, cpu, 1024 * usage.ru_maxrss]))
sys.exit(os.waitstatus_to_exitcode(status))
"""


class Cost(NamedTuple):
    """What one command took, start-up included."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


class Result(NamedTuple):
    """A method's medians from the same run."""

    name: str
    ours: Cost
    peer: Cost | None
    limit_s: float
    """To read all models once and write one."""

    @property
    def ratio(self) -> float:
        """How many times our time the peer needs."""
        return self.peer.wall_s / self.ours.wall_s if self.peer else float("nan")


def measure(rounds: int = 3) -> tuple[list[Result], dict[int, Cost]]:
    """Give both methods' costs, and those of our TIES by the number of models.

    Raises:
        AssertionError: the peer's numbers are not ours.
        CalledProcessError: a command fails.
    """
    with tempfile.TemporaryDirectory(prefix="distmerge-merge-") as name:
        folder = Path(name)
        base, tuned = write_models(folder)
        peer = peer_command()
        results = [_result(method, base, tuned, peer, rounds) for method in METHODS]
        growth = {
            count: _cost(_ours("ties", base, tuned[:count], folder / "ours.safetensors"))
            for count in (2, 4, NUM_TASKS)
        }
    return results, growth


def write_models(folder: Path) -> tuple[Path, list[Path]]:
    """Write a base and models on which both programs must agree exactly.

    mergekit trims every tensor by itself, TIES all parameters at once: here the share to keep is
    the same in each tensor, and larger than all that is trimmed. Numbers are multiples of 2^-24, so
    sums are exact; plus is a little more frequent than minus, since mergekit elects it where values
    cancel each other out.
    """
    from distmerge.models import tower_shapes

    draw = np.random.default_rng(0)
    shapes = {name: tuple(shape) for name, shape in tower_shapes(VIT_B_32).items()}
    sizes = {name: int(np.prod(shape)) for name, shape in shapes.items()}
    unit = np.float32(2.0**-24)
    base = {
        name: (draw.integers(-(1 << 20), 1 << 20, size, np.int32) * unit).reshape(shapes[name])
        for name, size in sizes.items()
    }
    save_file(base, folder / "base.safetensors")
    paths = [folder / f"task{index}.safetensors" for index in range(NUM_TASKS)]
    for path in paths:
        tuned = {}
        for name, size in sizes.items():
            steps = draw.integers(1, 1 << 13, size, np.int32)
            start = int(draw.integers(4))  # every fourth from here is kept
            steps[start::4] += 1 << 13
            signs = np.where(draw.random(size, np.float32) < 0.51, unit, -unit)
            tuned[name] = base[name] + (steps * signs).reshape(shapes[name])
        save_file(tuned, path)
    return folder / "base.safetensors", paths


def peer_command() -> str | None:
    """Give mergekit's command, from an environment of its own on top of this one; or None.

    Raises:
        CalledProcessError: the environment cannot be made.
    """
    place = Path(sys.prefix) / "peers"
    command = place / "bin" / "mergekit-pytorch"
    if not command.exists():
        venv.create(place, with_pip=True)
        python = str(place / "bin" / "python")
        library = "import sysconfig; print(sysconfig.get_path('purelib'))"
        found = [
            Path(subprocess.check_output([who, "-c", library], text=True).strip())  # noqa: S603
            for who in (python, sys.executable)
        ]
        (found[0] / "parent.pth").write_text(f"{found[1]}\n")
        listed = str(Path(__file__).with_name("peers.txt"))
        install = [python, "-m", "pip", "install", "-q", "--no-deps", "-r", listed]
        subprocess.run(install, check=False)  # noqa: S603  # without it, only the limit is printed
    return str(command) if command.exists() else None


def _result(
    method: str, base: Path, tuned: Sequence[Path], peer: str | None, rounds: int
) -> Result:
    folder = base.parent
    ours = _ours(method, base, tuned, folder / "ours.safetensors")
    commands = [ours, *([_peers(method, base, tuned, peer)] if peer else [])]
    costs, limits = [], []
    for _ in range(rounds):
        costs.append([_cost(command) for command in commands])
        limits.append(_limit([base, *tuned], folder / "bytes"))
    if peer:
        _check(folder / "ours.safetensors", folder / "peers" / "model.safetensors")
    medians = [sorted(several)[rounds // 2] for several in zip(*costs, strict=True)]
    return Result(method, medians[0], medians[1] if peer else None, sorted(limits)[rounds // 2])


def _ours(method: str, base: Path, tuned: Sequence[Path], output: Path) -> list[str]:
    settings = [part for setting in METHODS[method] for part in ("--set", setting)]
    command = [sys.executable, str(_ROOT / "jobs" / "merge.py"), "--base", str(base)]
    return [*command, "--method", method, *settings, "-o", str(output), *map(str, tuned)]


def _peers(method: str, base: Path, tuned: Sequence[Path], peer: str) -> list[str]:
    parameters = {"weight": SCALING, **({"density": DENSITY} if method == "ties" else {})}
    recipe = {
        "merge_method": method,
        "base_model": str(base),
        "models": [{"model": str(path), "parameters": parameters} for path in tuned],
        "parameters": {"normalize": False, "lambda": 1.0},
        "dtype": "float32",
    }
    path = base.parent / f"{method}.yaml"
    path.write_text(json.dumps(recipe))  # JSON is YAML
    return [peer, "--quiet", str(path), str(base.parent / "peers")]


def _cost(command: Sequence[str]) -> Cost:
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    start = [sys.executable, "-c", _MEASURED, *command]
    done = subprocess.run(start, check=True, capture_output=True, text=True, env=environment)  # noqa: S603
    return Cost(*json.loads(done.stdout))


def _check(ours: Path, peers: Path) -> None:
    one, other = load_file(ours), load_file(peers)
    assert one.keys() == other.keys()
    worst = max(float(np.abs(one[name] - other[name]).max()) for name in one)
    assert worst <= 2.0**-24, f"largest difference {worst:g}"


def _limit(inputs: Sequence[Path], output: Path) -> float:
    """Give the seconds to read all inputs into one buffer per thread and to write one of them."""
    size = 1 << 20
    start = time.perf_counter()
    with output.open("wb") as target, ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:

        def pass_by(path: Path) -> None:
            buffer, offset = bytearray(size), 0
            with path.open("rb", buffering=0) as source:
                while count := source.readinto(buffer):
                    if path == inputs[0]:
                        os.pwrite(target.fileno(), memoryview(buffer)[:count], offset)
                    offset += count

        list(pool.map(pass_by, inputs))
    return time.perf_counter() - start
