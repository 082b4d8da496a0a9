"""Models whose tensors are holes in sparse files: real headers of any size, nothing to read."""

import json
from math import prod
from pathlib import Path

import numpy as np

from distmerge.models import tower_shapes
from distmerge.spec import ModelFiles, TaskFiles, TowerConfig


def write_sparse(folder: Path, config: TowerConfig, *, num_tasks: int) -> ModelFiles:
    """Give the files of a world of zeros with two classes and four images a role."""
    tower = folder / "tower.json"
    tower.write_text(config.model_dump_json())
    shapes = tower_shapes(config)
    head = {"weight": (2, config.output_dim), "bias": (2,), "center": (config.output_dim,)}
    tasks = []
    for index in range(num_tasks):
        name = f"task{index}"
        data = folder / name
        data.mkdir()
        (data / "classes.json").write_text('["one", "other"]')
        for role in ("adapt", "select", "report"):
            np.save(data / f"{role}.images.npy", np.zeros((64, 8, 8, 3), dtype=np.uint8))
            np.save(data / f"{role}.labels.npy", np.zeros(64, dtype=np.int64))
        tasks.append(
            TaskFiles(
                name=name,
                checkpoint=sparse_file(folder / f"{name}.safetensors", shapes),
                head=sparse_file(folder / f"{name}.head.safetensors", head),
                data=data,
            )
        )
    base = sparse_file(folder / "base.safetensors", shapes)
    return ModelFiles(tower=tower, base=base, tasks=tuple(tasks))


def sparse_file(
    path: Path,
    shapes: dict[str, tuple[int, ...]],
    *,
    dtype: str = "F32",
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a safetensors file of zeros that takes no room on the disk."""
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    size, start = {"F32": 4, "F16": 2, "I64": 8}[dtype], 0
    for name, shape in shapes.items():
        stop = start + size * prod(shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + start)
    return path
