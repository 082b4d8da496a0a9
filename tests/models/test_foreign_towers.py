"""Imports of image towers that are no plain vision transformers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from open_clip.model import _build_vision_tower
from torch import nn
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize

from distmerge.errors import CheckpointError
from distmerge.models import import_checkpoint, load_metadata, load_state
from distmerge.models.foreign.named import tower_of_model
from distmerge.spec import OpenClipTower, TowerConfig, load_tower_config
from tests.models.old_files import MEAN, STD
from tests.towers import AVERAGED, RESNET, started, tower

TIMM = tower("timm-tiny", 160, {"timm_model_name": "test_vit", "timm_pool": "avg"})
KINDS = {"resnet": RESNET, "average": AVERAGED, "timm": TIMM}
PICKLED = {"resnet": RESNET, "average": AVERAGED}  # timm's modules need calls when they are read


class Whole(nn.Module):
    """A model with an image tower and a little text, as open_clip names them."""

    def __init__(self, config: OpenClipTower, *, resize: Any = None) -> None:
        super().__init__()
        self.visual = _build_vision_tower(config.output_dim, config.vision_cfg)
        self.visual.load_state_dict(started(config))
        self.token_embedding = nn.Embedding(11, 6)
        self.logit_scale = nn.Parameter(torch.tensor(2.6))
        if resize is not None:
            steps = [resize, CenterCrop(config.preprocess.size), Normalize(MEAN, STD)]
            self.val_preprocess = Compose(steps)


def described(folder: Path, config: OpenClipTower | TowerConfig) -> Path:
    folder.mkdir()
    (folder / "tower.json").write_text(config.model_dump_json())
    return folder


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_a_whole_models_state_dict_becomes_the_tower_of_the_folder(
    config: OpenClipTower, tmp_path: Path
) -> None:
    torch.save(Whole(config).state_dict(), tmp_path / "model.pt")
    folder = described(tmp_path / "out", config)
    done = import_checkpoint(str(tmp_path / "model.pt"), folder)
    assert done.summary == (
        f"state dict: {config.name} of open_clip, features of 8, {config.preprocess.description}"
    )
    found, expected = load_state(done.files[0]), started(config)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert load_metadata(done.files[0])["preprocess"] == config.preprocess.model_dump_json()


@pytest.mark.parametrize("config", PICKLED.values(), ids=PICKLED)
def test_a_pickled_model_becomes_the_tower_of_the_folder(
    config: OpenClipTower, tmp_path: Path
) -> None:
    torch.save(Whole(config), tmp_path / "model.pt")
    folder = described(tmp_path / "out", config)
    done = import_checkpoint(str(tmp_path / "model.pt"), folder)
    found, expected = load_state(done.files[0]), started(config)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_without_a_name_the_tensors_alone_are_written_and_the_name_asked_for(
    config: OpenClipTower, tmp_path: Path
) -> None:
    torch.save(Whole(config).state_dict(), tmp_path / "model.pt")
    done = import_checkpoint(str(tmp_path / "model.pt"), tmp_path / "out")
    assert [path.name for path in done.files] == ["model.safetensors"]
    assert "do not tell in full" in done.summary
    assert "or RN50" in done.summary


def test_a_pickled_model_of_timm_is_refused_with_what_to_do(tmp_path: Path) -> None:
    torch.save(Whole(TIMM), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"call timm\..*Expected: a state dict"):
        import_checkpoint(str(tmp_path / "model.pt"), tmp_path / "out")


def test_averaged_tokens_are_not_taken_for_a_class_token(tmp_path: Path) -> None:
    """Its tensors are those of a plain vision transformer; only the module tells."""
    torch.save(Whole(AVERAGED), tmp_path / "model.pt")
    plain = TowerConfig(
        image_size=16,
        patch_size=8,
        width=16,
        layers=2,
        heads=2,
        output_dim=8,
        no_ln_pre=True,
        preprocess=AVERAGED.preprocess,
    )
    folder = described(tmp_path / "out", plain)
    with pytest.raises(CheckpointError, match=r"pool_type: avg by the checkpoint; a vit-2x16/8"):
        import_checkpoint(str(tmp_path / "model.pt"), folder)


def test_a_pickled_models_own_preprocessing_is_compared(tmp_path: Path) -> None:
    resize = Resize((32, 32), InterpolationMode.BICUBIC)
    torch.save(Whole(RESNET, resize=resize), tmp_path / "model.pt")
    folder = described(tmp_path / "out", RESNET)
    with pytest.raises(CheckpointError, match="towers differ") as caught:
        import_checkpoint(str(tmp_path / "model.pt"), folder)
    assert "resize: squash by the checkpoint, shortest by RN-tiny" in str(caught.value)
    assert "mean: (0.48145466, " in str(caught.value)


def test_a_tower_of_another_kind_is_refused_with_its_tensors(tmp_path: Path) -> None:
    torch.save(Whole(TIMM).state_dict(), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="not a RN-tiny tower") as caught:
        import_checkpoint(str(tmp_path / "model.pt"), described(tmp_path / "out", RESNET))
    assert "trunk.cls_token: not a tensor of this tower" in str(caught.value)


@pytest.mark.slow
def test_a_resnet_of_full_size_is_imported_by_its_name(tmp_path: Path) -> None:
    config = tower_of_model("RN50:openai")
    assert isinstance(config, OpenClipTower)
    torch.save(Whole(config).state_dict(), tmp_path / "model.pt")
    done = import_checkpoint(str(tmp_path / "model.pt"), tmp_path / "out", model="RN50:openai")
    assert load_tower_config(tmp_path / "out" / "tower.json") == config
    assert "RN50 of open_clip, features of 1024, 224 pixels" in done.summary
