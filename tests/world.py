"""A tiny real world on disk: one base tower, models really fine-tuned from it, heads and images."""

import json
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from distmerge.models import Head, StateDict, Tower, address_seed, save_head, save_state
from distmerge.spec import ModelFiles, OpenClipTower, Preprocess, TaskFiles, TowerConfig
from distmerge.tasks import ROLES, model_input

TASK_NAMES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")
NUM_IMAGES = {"adapt": 40, "select": 16, "report": 24}
TOWER = TowerConfig(
    image_size=16,
    patch_size=8,
    width=16,
    layers=2,
    heads=2,
    output_dim=8,
    preprocess=Preprocess(size=16, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
)
_STEPS, _LR = 40, 0.005  # base 0.26, merged 0.6, individual 1.0 accuracy


def build_world(
    folder: Path,
    *,
    num_tasks: int = 3,
    seed: int = 0,
    config: TowerConfig | OpenClipTower = TOWER,
    base: StateDict | None = None,
    lr: float = _LR,
) -> ModelFiles:
    """Write a world of ``num_tasks`` tasks with 3, 4, 5, ... classes; give its files."""
    tower = Tower(config)
    base = base or random_weights(tower, seed)
    folder.mkdir(parents=True, exist_ok=True)
    files = ModelFiles(
        tower=folder / "tower.json",
        base=folder / "base.safetensors",
        tasks=tuple(_files(folder, name) for name in TASK_NAMES[:num_tasks]),
    )
    files.tower.write_text(config.model_dump_json())
    save_state(files.base, base)
    for index, task in enumerate(files.tasks):
        _write_task(task, tower, base, num_classes=3 + index, seed=seed, lr=lr)
    return files


def random_weights(tower: Tower, seed: int) -> StateDict:
    """Give weights of a tower: matrices at random, LayerNorms near the identity."""
    generator = torch.Generator().manual_seed(address_seed(seed, "base"))
    noise = {
        name: 0.15 * torch.randn(shape, generator=generator) for name, shape in tower.shapes.items()
    }
    return {name: n + 1 if _is_scale(name, n) else n for name, n in noise.items()}


def _is_scale(name: str, tensor: Tensor) -> bool:
    # The only vectors named weight, and the variances of batch norms.
    return (".weight" in name and tensor.ndim == 1) or name.endswith("running_var")


def arrays_of(task: TaskFiles) -> Path:
    """Give the folder of a task's arrays."""
    assert isinstance(task.data, Path)
    return task.data


def _files(folder: Path, name: str) -> TaskFiles:
    return TaskFiles(
        name=name,
        checkpoint=folder / f"{name}.safetensors",
        head=folder / f"{name}.head.safetensors",
        data=folder / name,
    )


def _write_task(
    files: TaskFiles, tower: Tower, base: StateDict, *, num_classes: int, seed: int, lr: float
) -> None:
    width = tower.config.output_dim
    head = _head(num_classes, width, address_seed(seed, files.name, "head"))
    save_head(files.head_file, head)
    folder = arrays_of(files)
    folder.mkdir()
    names = [f"{files.name} {number}" for number in range(num_classes)]
    (folder / "classes.json").write_text(json.dumps(names))
    generator = np.random.default_rng(address_seed(seed, files.name, "images"))
    templates = generator.uniform(40, 215, (num_classes, 4, 4, 3))
    for role in ROLES:
        labels = generator.permutation(np.arange(NUM_IMAGES[role]) % num_classes)
        pixels = _pixels(templates[labels], generator)
        np.save(folder / f"{role}.images.npy", pixels)
        if role == "adapt":
            tuned = _fine_tuned(tower, base, head, pixels, labels, lr)
            save_state(files.checkpoint, tuned)
        else:
            np.save(folder / f"{role}.labels.npy", labels)


def _head(num_classes: int, width: int, seed: int) -> Head:
    generator = torch.Generator().manual_seed(seed)
    weight = 10 * normalize(torch.randn(num_classes, width, generator=generator), dim=-1)
    return Head(weight, torch.zeros(num_classes), torch.zeros(width))


def _pixels(
    templates: Float[np.ndarray, "image 4 4 3"], generator: np.random.Generator
) -> UInt8[np.ndarray, "image 16 16 3"]:
    enlarged = templates.repeat(4, axis=1).repeat(4, axis=2)
    noisy = enlarged + generator.normal(0, 40, enlarged.shape)
    return noisy.clip(0, 255).astype(np.uint8)


def _fine_tuned(
    tower: Tower,
    base: StateDict,
    head: Head,
    pixels: UInt8[np.ndarray, "image 16 16 3"],
    labels: Int64[np.ndarray, " image"],
    lr: float,
) -> StateDict:
    weights = {name: tensor.clone().requires_grad_() for name, tensor in base.items()}
    optimizer = torch.optim.Adam(weights.values(), lr=lr)
    images = model_input(pixels, tower.config.preprocess)
    for _ in range(_STEPS):
        optimizer.zero_grad()
        loss = cross_entropy(head(tower.features(weights, images)), torch.from_numpy(labels))
        loss.backward()
        optimizer.step()
    return {name: tensor.detach() for name, tensor in weights.items()}
