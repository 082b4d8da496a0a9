"""Image towers of all of open_clip's models."""

from functools import partial

import open_clip
import pytest
import torch
from torch import Tensor, nn

from distmerge.errors import CheckpointError
from distmerge.models.architecture import drawn
from distmerge.models.foreign.architecture import MEAN, STD
from distmerge.models.foreign.named import tower_of_model
from distmerge.models.seeding import initialised
from distmerge.models.shapes import tower_shapes
from distmerge.spec import OpenClipTower, TowerConfig

FEW = (
    "RN50",
    "ViT-B-32-quickgelu",
    "coca_ViT-B-32",
    "ViT-H-14-CLIPA",
    "ViT-B-16-SigLIP",
    "MobileCLIP2-S0",
)

TAGGED = {  # of these the name alone does not tell the input
    "ViT-L-14": "ViT-L-14:laion400m_e31",
    "ViT-H-14": "ViT-H-14:laion2b_s32b_b79k",
    "ViT-H-14-quickgelu": "ViT-H-14-quickgelu:metaclip_fullcc",
}


def answers(module: nn.Module, size: int) -> Tensor:
    images = torch.zeros(1, 3, size, size, device="meta")
    found = module(images)
    features: Tensor = found[0] if isinstance(found, tuple) else found
    return features


def check(name: str) -> None:
    """Compare a tower with open_clip's own: names, shapes, parts, settings, and what it gives."""
    settings = open_clip.get_model_config(name)
    with torch.device("meta"):
        config = tower_of_model(TAGGED.get(name, name))
        ours = initialised(partial(drawn, config), "test").get_submodule("visual").eval()
        theirs = open_clip.model._build_vision_tower(
            settings["embed_dim"], settings["vision_cfg"], settings.get("quick_gelu", False)
        ).eval()
    counters = ".num_batches_tracked"
    expected = {n: tuple(t.shape) for n, t in theirs.state_dict().items() if counters not in n}
    assert list(tower_shapes(config).items()) == list(expected.items())
    assert repr(ours) == repr(theirs)
    size = config.preprocess.size
    shape = (1, config.output_dim)
    assert answers(ours, size).shape == answers(theirs, size).shape == shape


@pytest.mark.parametrize("name", FEW)
def test_a_model_is_known_by_its_name(name: str) -> None:
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(open_clip.list_models()) - set(FEW)))
def test_every_model_of_open_clip_is_known_by_its_name(name: str) -> None:
    check(name)


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("ViT-L-14:openai", TowerConfig, "224 pixels, mean 0.481455"),
        ("coca_base", TowerConfig, "288 pixels, mean 0.481455"),  # tokens beside the feature
        ("coca_ViT-L-14", OpenClipTower, "224 pixels, mean 0.481455"),
        ("ViT-L-14-CLIPA", OpenClipTower, "224 pixels, squash, bilinear, mean 0.485"),
        ("RN50x4", OpenClipTower, "288 pixels, mean 0.481455"),
        ("ViT-B-16-SigLIP2-384", OpenClipTower, "384 pixels, squash, mean 0.5"),
        ("MobileCLIP-S1", OpenClipTower, "256 pixels, bilinear, mean 0 0 0, deviation 1"),
        ("ViT-H-14-378-quickgelu", TowerConfig, "378 pixels, squash, mean 0.481455"),
    ],
)
def test_only_a_plain_vision_transformer_is_described_as_one(
    name: str, kind: type, words: str
) -> None:
    config = tower_of_model(name)
    assert isinstance(config, kind)
    assert config.preprocess.description.startswith(words)


def test_heads_and_activation_come_from_the_name() -> None:
    small, large = (
        tower_of_model(name) for name in ("ViT-B-32-quickgelu", "ViT-H-14:laion2b_s32b_b79k")
    )
    assert isinstance(small, TowerConfig)
    assert isinstance(large, TowerConfig)
    assert (small.backbone, small.heads, small.quick_gelu) == ("vit-12x768/32", 12, True)
    assert (large.heads, large.quick_gelu, large.output_dim) == (16, False, 1024)


def test_pretrained_weights_may_read_another_input() -> None:
    assert tower_of_model("ViT-L-14:datacomp_xl_s13b_b90k").preprocess.mean == MEAN
    assert tower_of_model("ViT-L-14:laion2b_s32b_b82k").preprocess.mean == (0.5, 0.5, 0.5)
    assert tower_of_model("ViT-L-14:openai").preprocess.std == STD


@pytest.mark.parametrize(
    ("name", "tags", "way"),
    [
        ("ViT-L-14", "laion2b_s32b_b82k", r"resize shortest, .*, mean \(0\.5, 0\.5, 0\.5\), std"),
        ("ViT-H-14", "dfn5b", "resize squash, interpolation bicubic, mean"),
        ("ViT-H-14-quickgelu", "dfn5b", "resize squash, interpolation bicubic, mean"),
    ],
)
def test_a_name_whose_weights_read_images_differently_needs_their_tag(
    name: str, tags: str, way: str
) -> None:
    problem = f"'{name}': its pretrained weights read images differently; choose NAME:TAG"
    with pytest.raises(CheckpointError, match=f"{problem}:\n  - (.*\n  - )?{tags}: {way}"):
        tower_of_model(name)
    assert tower_of_model(f"{name}:{tags}").preprocess.size == 224


def test_pretrained_weights_may_need_quickgelu() -> None:
    found = [
        tower_of_model(f"ViT-B-32{tag}").quick_gelu for tag in ("", ":openai", ":laion2b_s34b_b79k")
    ]
    assert found == [False, True, False]


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ("ViT-B-23", "'ViT-B-23': no model of open_clip; close: .*ViT-B-32"),
        ("RN50:laion", "'RN50:laion': no such pretrained weights; those of RN50: openai, yfcc15m"),
        ("coca_base:x", "no such pretrained weights; those of coca_base: none"),
    ],
)
def test_what_open_clip_does_not_know_is_named(model: str, problem: str) -> None:
    with pytest.raises(CheckpointError, match=problem):
        tower_of_model(model)
