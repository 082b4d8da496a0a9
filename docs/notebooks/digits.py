"""Three small models to merge: each reads handwritten digits that look another way."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from distmerge.models import Head, Tower, save_head, save_state
from distmerge.spec import Preprocess, TowerConfig
from distmerge.tasks import model_input

PREPROCESS = Preprocess(size=16, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
TOWER = TowerConfig(
    image_size=16, patch_size=8, width=32, layers=2, heads=2, output_dim=16, preprocess=PREPROCESS
)
ROLES = {"adapt": slice(0, 900), "select": slice(900, 1200), "report": slice(1200, 1797)}


def make_models(folder: Path) -> tuple[str, ...]:
    """Write base, fine-tuned models, heads and images of three tasks; give the tasks' names.

    The images are scikit-learn's: upright, turned by 90 degrees, or as negatives.
    """
    digits = load_digits()
    small = (digits.images / 16 * 255).astype(np.uint8)
    pixels = np.stack([small.repeat(2, axis=1).repeat(2, axis=2)] * 3, axis=-1)
    turned = np.rot90(pixels, axes=(1, 2)).copy()
    looks = {"upright": pixels, "turned": turned, "negative": 255 - pixels}
    labels = digits.target.astype(np.int64)

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tower.json").write_text(TOWER.model_dump_json())
    base = trained(*start(), pixels[:300], labels[:300], steps=100)
    save_state(folder / "base.safetensors", base)
    for name, images in looks.items():
        adapt = images[ROLES["adapt"]], labels[ROLES["adapt"]]
        head = prototypes(base, *adapt)
        save_head(folder / f"{name}.head.safetensors", head)
        save_state(folder / f"{name}.safetensors", trained(base, head, *adapt, steps=60))
        write_images(folder / name, images, labels)
    return tuple(looks)


def start() -> tuple[dict[str, Tensor], Head]:
    """Give weights and a head at random."""
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: 0.1 * torch.randn(shape, generator=generator)
        + (name.endswith("weight") and len(shape) == 1)  # LayerNorms begin near the identity
        for name, shape in Tower(TOWER).shapes.items()
    }
    rows = normalize(torch.randn(10, TOWER.output_dim, generator=generator), dim=1)
    return weights, Head(10 * rows, torch.zeros(10), torch.zeros(TOWER.output_dim))


def trained(
    weights: Mapping[str, Tensor], head: Head, images: np.ndarray, labels: np.ndarray, steps: int
) -> dict[str, Tensor]:
    """Give the weights after ``steps`` of Adam; the head stays."""
    tower, generator = Tower(TOWER), torch.Generator().manual_seed(0)
    tuned = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
    inputs, truth = model_input(images, PREPROCESS), torch.from_numpy(labels)
    optimizer = torch.optim.Adam(tuned.values(), lr=0.004)
    for _ in range(steps):
        batch = torch.randint(len(truth), (64,), generator=generator)
        loss = cross_entropy(head(tower.features(tuned, inputs[batch])), truth[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {name: tensor.detach() for name, tensor in tuned.items()}


def prototypes(base: Mapping[str, Tensor], images: np.ndarray, labels: np.ndarray) -> Head:
    """Give a head whose rows are the classes' mean features, before any fine-tuning."""
    with torch.no_grad():
        features = Tower(TOWER).features(base, model_input(images, PREPROCESS))
    center, truth = features.mean(dim=0), torch.from_numpy(labels)
    means = torch.stack([(features[truth == digit] - center).mean(dim=0) for digit in range(10)])
    return Head(10 * normalize(means, dim=1), torch.zeros(10), center)


def write_images(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Write a task's images as a study reads them."""
    folder.mkdir(exist_ok=True)
    (folder / "classes.json").write_text(json.dumps([str(digit) for digit in range(10)]))
    for role, part in ROLES.items():
        np.save(folder / f"{role}.images.npy", images[part])
        np.save(folder / f"{role}.labels.npy", labels[part])
