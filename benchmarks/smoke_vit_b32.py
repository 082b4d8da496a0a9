"""Eight full-size ViT-B/32 end to end on the CPU: random weights, small task vectors, few images.

Prints wall time and peak memory. The files, 3 GB, lie in a temporary folder and are removed.
"""

import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.clock import cost
from benchmarks.rows import Row
from benchmarks.towers import VIT_B_32
from distmerge.spec import ModelFiles, Pipeline, Study, TaskFiles

NUM_TASKS, NUM_CLASSES = 8, 10
MOST_BESIDE_BANK = 3.0  # GiB: libraries, tower, merged model, gradient; 1 of them activations_mb
NUM_IMAGES = {"adapt": 4, "select": 2, "report": 2}


def main() -> int:
    """Write the models in a process of their own, plan, sweep, and print what it took."""
    with tempfile.TemporaryDirectory(prefix="distmerge-smoke-") as name:
        folder = Path(name)
        os.environ["DISTMERGE_CACHE"] = str(folder / "cache")
        files = listed(folder)
        writer = multiprocessing.get_context("spawn").Process(target=write_world, args=(files,))
        writer.start()
        writer.join()
        if writer.exitcode:
            return 1
        study = Study(
            study="smoke",
            models=files,
            pipelines=(
                Pipeline(stages=("task_arithmetic",), settings={"task_arithmetic.scaling": 0.3}),
                Pipeline(
                    stages=("adamerging",),
                    settings={
                        "adamerging.steps": 2,
                        "adamerging.batch_size": 2,
                        "adamerging.batches": 1,
                        "adamerging.lr": 1e-3,
                    },
                ),
            ),
            sanity="off",  # random weights are no better than other random weights
            storage=str(folder / "results"),
            ray=False,
        )
        return swept(study)


def end_to_end() -> Iterator[Row]:
    """Yield what this program takes as a command: it also checks the memory beside the bank.

    Raises:
        CalledProcessError: a run failed, or more memory was used than is allowed.
    """
    took = cost([sys.executable, "-m", "benchmarks.smoke_vit_b32"])
    note = "models written, planned, and two pipelines run; the peak is checked against the bank"
    yield Row("eight ViT-B/32", took.wall_s, ours_peak_bytes=took.peak_bytes, note=note)


def swept(study: Study) -> int:
    """Plan and run the study; give how many runs failed, plus one for too much memory."""
    start, cpu = time.perf_counter(), time.process_time()
    from distmerge.sweep import plan_lines, run_sweep

    lines = list(plan_lines(study))
    planned, planned_cpu = time.perf_counter() - start, time.process_time() - cpu
    print("\n".join(lines))
    libraries = _peak_gib()
    result = run_sweep(study, Console())
    wall = time.perf_counter() - start - planned
    assert isinstance(study.models, ModelFiles)
    one, peak = study.models.base.stat().st_size / 2**30, _peak_gib()
    bank = (NUM_TASKS + 1) * one
    print(f"plan   {planned:6.1f} s, of which {planned_cpu:.1f} s on the CPU")
    print(f"sweep  {wall:6.1f} s, {result.failed} runs failed")
    print(
        f"peak   {peak:6.2f} GiB: the bank {bank:.2f}, libraries {libraries:.2f}, the rest "
        f"{peak - bank - libraries:.2f} (one model is {one:.2f})"
    )
    return result.failed + (peak > bank + MOST_BESIDE_BANK)


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def listed(folder: Path) -> ModelFiles:
    """Give where the files are to lie."""
    tasks = tuple(
        TaskFiles(
            name=f"task{i}",
            checkpoint=folder / f"task{i}.safetensors",
            head=folder / f"task{i}.head.safetensors",
            data=folder / f"task{i}",
        )
        for i in range(NUM_TASKS)
    )
    return ModelFiles(tower=folder / "tower.json", base=folder / "base.safetensors", tasks=tasks)


def write_world(files: ModelFiles) -> None:
    """Write tower, base, models, heads and images."""
    import torch
    from torch.nn.functional import normalize

    from distmerge.models import Head, save_head, save_state, tower_shapes

    generator = torch.Generator().manual_seed(0)
    shapes = tower_shapes(VIT_B_32)
    base = {
        name: torch.randn(shape, generator=generator) * (prod(shape[1:]) or 1) ** -0.5 * 0.5
        if len(shape) > 1
        else torch.full(shape, float(name.endswith("weight")))
        for name, shape in shapes.items()
    }
    files.tower.write_text(VIT_B_32.model_dump_json())
    save_state(files.base, base)
    for index, task in enumerate(files.tasks):
        steps = {n: 1e-3 * torch.randn(t.shape, generator=generator) for n, t in base.items()}
        save_state(task.checkpoint, {name: base[name] + steps[name] for name in base})
        rows = normalize(torch.randn(NUM_CLASSES, VIT_B_32.output_dim, generator=generator), dim=-1)
        zeros = torch.zeros(NUM_CLASSES), torch.zeros(VIT_B_32.output_dim)
        save_head(task.head_file, Head(100 * rows, *zeros))
        assert isinstance(task.data, Path)
        write_images(task.data, index)


def write_images(folder: Path, seed: int) -> None:
    """Write noise with labels."""
    random = np.random.default_rng(seed)
    folder.mkdir()
    (folder / "classes.json").write_text(json.dumps([str(i) for i in range(NUM_CLASSES)]))
    for role, count in NUM_IMAGES.items():
        pixels = random.integers(0, 256, (count, 224, 224, 3), dtype=np.uint8)
        np.save(folder / f"{role}.images.npy", pixels)
        np.save(folder / f"{role}.labels.npy", np.arange(count) % NUM_CLASSES)


if __name__ == "__main__":
    sys.exit(main())
