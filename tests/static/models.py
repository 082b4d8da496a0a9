"""Small models as files, and their merge by the bank."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from distmerge.static import Recipe
from distmerge.taskvectors import merge, selected, task_vectors

SHAPES = {"conv": (3, 5, 7), "scale": (), "weight": (600, 500), "bias": (9,)}
State = dict[str, np.ndarray]


def states(num_tasks: int, *, grid: float = 0.0) -> list[State]:
    """Give a base and fine-tuned models; with a grid many values are equal or cancel out."""
    draw = np.random.default_rng(num_tasks)

    def numbers(shape: tuple[int, ...], scale: float) -> np.ndarray:
        values = np.asarray(scale * draw.standard_normal(shape), np.float32)
        return np.asarray(np.round(values / grid) * grid if grid else values, np.float32)

    base = {name: numbers(shape, 1.0) for name, shape in SHAPES.items()}
    tuned = [
        {name: np.asarray(row + numbers(row.shape, 0.3)) for name, row in base.items()}
        for _ in range(num_tasks)
    ]
    return [base, *tuned]


def write(folder: Path, models: list[State], **metadata: str) -> tuple[Path, list[Path]]:
    """Write a base and its tasks."""
    names = ["base", *(f"task{i}" for i in range(len(models) - 1))]
    paths = [folder / f"{name}.safetensors" for name in names]
    for path, state in zip(paths, models, strict=True):
        save_file(state, path, {"format": "pt", **metadata})
    return paths[0], paths[1:]


def by_the_bank(models: list[State], recipe: Recipe) -> Mapping[str, torch.Tensor]:
    """Give what a sweep's static method makes of the models."""
    base, *tuned = ({k: torch.from_numpy(v) for k, v in state.items()} for state in models)
    shapes = {name: torch.Size(shape) for name, shape in SHAPES.items()}
    bank = task_vectors(base, {f"task{i}": state for i, state in enumerate(tuned)}, shapes)
    if recipe.selection is not None:
        bank = selected(bank, recipe.selection)
    size = (len(tuned), len(bank.layout.segments))
    coefficient = recipe.coefficient(len(tuned))
    flat = merge(bank, torch.full(size, coefficient, dtype=torch.float64))
    return bank.layout.unflatten(flat)
