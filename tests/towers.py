"""Tiny towers of open_clip that are no plain vision transformers."""

from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import interpolate

from distmerge.models import StateDict, load_state, save_state
from distmerge.models.architecture import drawn
from distmerge.models.seeding import initialised
from distmerge.spec import ModelFiles, OpenClipTower, Preprocess
from tests.world import build_world

_HALVES = (0.5, 0.5, 0.5)


def tower(name: str, size: int, settings: dict[str, object], **ways: str) -> OpenClipTower:
    """Give a tower of open_clip by its ``vision_cfg``."""
    reading = {"size": size, "mean": _HALVES, "std": _HALVES, **ways}
    return OpenClipTower(
        open_clip={"image_size": size, **settings},
        name=name,
        output_dim=8,
        preprocess=Preprocess.model_validate(reading),
    )


RESNET = tower("RN-tiny", 32, {"layers": [1, 1, 1, 1], "width": 8, "head_width": 64})
"""Four stages and an attention pool, with batch norms."""
AVERAGED = tower(
    "ViT-tiny-average",
    16,
    {
        "layers": 2,
        "width": 16,
        "head_width": 8,
        "patch_size": 8,
        "no_ln_pre": True,
        "pool_type": "avg",
        "final_ln_after_pool": True,
    },
    resize="squash",
    interpolation="bilinear",
)
"""The mean of the tokens, as CLIPA has it; images are resized as CLIPA resizes them."""
TOWERS = {"resnet": RESNET, "average": AVERAGED}


def started(config: OpenClipTower) -> StateDict:
    """Give a tower's weights as open_clip draws them; batch norms have seen some images."""
    generator = torch.Generator().manual_seed(0)
    module = initialised(partial(drawn, config), "test").train()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0  # statistics of the next batch alone
            nn.init.ones_(part.weight)  # open_clip starts residual branches at zero
    coarse = 2 * torch.rand(32, 3, 4, 4, generator=generator) - 1
    module(interpolate(coarse, config.preprocess.size), layers=False)
    return {
        name.removeprefix(module.PREFIX): tensor.detach().clone()
        for name, tensor in module.state_dict().items()
    }


def build_tower_world(folder: Path, config: OpenClipTower) -> ModelFiles:
    """Write three tasks; fine-tuning has moved the statistics of batch norms, too."""
    files = build_world(folder, config=config, base=started(config), lr=1e-3)
    for number, task in enumerate(files.tasks):
        state = load_state(task.checkpoint)
        moved = {
            name: tensor + 0.002 * (number + 1) if "running" in name else tensor
            for name, tensor in state.items()
        }
        save_state(task.checkpoint, moved)
    return files
