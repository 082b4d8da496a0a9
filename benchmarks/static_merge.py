"""Merges from files to a file as whole commands: ours, mergekit's and the bytes alone, in turns.

Eight files of ViT-B/32's size, 3 GB, lie in a temporary folder, so mostly in the page cache.
"""

import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from benchmarks.clock import ROOT, cost
from benchmarks.peers import Peer, peer
from benchmarks.rows import Row
from benchmarks.towers import VIT_B_32

NUM_TASKS = 8
SCALING, DENSITY = 0.25, 0.25
METHODS = {
    "task_arithmetic": [f"task_arithmetic.scaling={SCALING}"],
    "ties": [f"ties.scaling={SCALING}", f"ties.density={DENSITY}"],
}
TARGETS = {"task_arithmetic": 3.0, "ties": 5.0}
_LOG = logging.getLogger(__name__)


def files_to_file(rounds: int = 3) -> Iterator[Row]:
    """Yield both methods' costs as whole commands, and our peak memory by the number of models.

    Raises:
        AssertionError: the peer's numbers are not ours.
        CalledProcessError: a command fails.
    """
    with tempfile.TemporaryDirectory(prefix="distmerge-merge-") as place:
        folder = Path(place)
        base, tuned = write_models(folder)
        mergekit = peer("mergekit")
        for method in METHODS:
            yield _row(method, base, tuned, mergekit, rounds)
        for count in (2, 4):
            took = cost(_ours("ties", base, tuned[:count], folder / "ours.safetensors"))
            name = f"ties, disk to disk, {count} models"
            yield Row(name, took.wall_s, ours_peak_bytes=took.peak_bytes)


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


def _row(method: str, base: Path, tuned: Sequence[Path], mergekit: Peer | None, rounds: int) -> Row:
    folder = base.parent
    commands = [_ours(method, base, tuned, folder / "ours.safetensors")]
    if mergekit:
        commands.append(_peers(method, base, tuned, mergekit))
    costs, limits = [], []
    for number in range(rounds):
        _LOG.info("%s, round %d of %d", method, number + 1, rounds)
        costs.append([cost(command) for command in commands])
        limits.append(_limit([base, *tuned], folder / "bytes"))
    if mergekit:
        _check(folder / "ours.safetensors", folder / "peers" / "model.safetensors")
    ours, theirs = [*(sorted(turns)[rounds // 2] for turns in zip(*costs, strict=True)), None][:2]
    assert ours is not None
    return Row(
        f"{method}, disk to disk",
        ours.wall_s,
        peer="mergekit",
        peer_s=theirs and theirs.wall_s,
        limit_s=sorted(limits)[rounds // 2],
        target=TARGETS[method],
        ours_peak_bytes=ours.peak_bytes,
        peer_peak_bytes=theirs and theirs.peak_bytes,
        note="limit: all models read, one written",
    )


def _ours(method: str, base: Path, tuned: Sequence[Path], output: Path) -> list[str]:
    settings = [part for setting in METHODS[method] for part in ("--set", setting)]
    command = [sys.executable, str(ROOT / "jobs" / "merge.py"), "--base", str(base)]
    return [*command, "--method", method, *settings, "-o", str(output), *map(str, tuned)]


def _peers(method: str, base: Path, tuned: Sequence[Path], mergekit: Peer) -> list[str]:
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
    program = str(mergekit.programs / "mergekit-pytorch")
    return [program, "--quiet", str(path), str(base.parent / "peers")]


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
