from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from distmerge.artefact.plain import plain_use
from distmerge.models import Tower, save_state
from distmerge.spec import AnyTower, OpenClipTower, TowerConfig
from distmerge.tasks import Decoding, model_input
from tests.texts import TEXT_TOWER, save_tokenizer
from tests.world import TOWER, random_weights

RESNET = OpenClipTower(
    open_clip={"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16},
    name="tiny ResNet",
    output_dim=8,
    preprocess=TOWER.preprocess.model_copy(update={"size": 32}),
)
POOLED = TEXT_TOWER.model_copy(update={"pooling": "pooler"})


@pytest.mark.parametrize("config", [TOWER, RESNET, TEXT_TOWER, POOLED], ids=lambda c: c.backbone)
def test_the_example_gives_the_towers_features(
    config: AnyTower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tower = Tower(config)
    weights = random_weights(tower, seed=0)
    weights = {n: t.abs() if n.endswith("running_var") else t for n, t in weights.items()}
    save_state(tmp_path / "model.safetensors", weights)
    save_tokenizer(tmp_path)
    rows = Decoding(config.preprocess, Path(), tmp_path).rows()
    sample: str | bytes = "a text"
    if isinstance(config, TowerConfig | OpenClipTower):
        pixels = np.random.default_rng(0).integers(0, 256, rows.shape, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photo.png")
        sample = (tmp_path / "photo.png").read_bytes()
    names: dict[str, Any] = {}
    monkeypatch.chdir(tmp_path)
    exec(plain_use(config).removeprefix("```python\n").removesuffix("```"), names)
    expected = tower.features(weights, model_input(rows.made(sample)[None], config.preprocess))
    torch.testing.assert_close(names["features"], expected, rtol=0, atol=1e-5)
