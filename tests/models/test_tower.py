import pytest
import torch
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from distmerge.models import Tower
from distmerge.spec import TowerConfig
from tests.world import TOWER, random_weights

VARIANTS = {
    "plain": TOWER,
    "quick_gelu": TOWER.model_copy(update={"quick_gelu": True}),
    "norm_eps": TOWER.model_copy(update={"norm_eps": 0.5}),
    "layer_scale": TOWER.model_copy(update={"ls_init_value": 0.1}),
    "no_ln_pre": TOWER.model_copy(update={"no_ln_pre": True}),
    "no_projection": TOWER.model_copy(update={"projection": False}),
}


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(3))


def features(config: TowerConfig, images: Tensor) -> Tensor:
    tower = Tower(config)
    return tower.features(random_weights(tower, 0), images)


def test_features_equal_those_of_open_clip_with_the_same_weights(images: Tensor) -> None:
    tower = Tower(TOWER)
    weights = random_weights(tower, 0)
    visual = VisionTransformer(
        image_size=16, patch_size=8, width=16, layers=2, heads=2, mlp_ratio=4.0, output_dim=8
    ).eval()
    visual.load_state_dict(weights, strict=True)
    with torch.no_grad():
        torch.testing.assert_close(
            tower.features(weights, images), visual(images), rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_encoding_gives_the_same_features_as_features(config: TowerConfig, images: Tensor) -> None:
    tower = Tower(config)
    weights = random_weights(tower, 0)
    encoding = tower.encode(weights, images)
    torch.testing.assert_close(encoding.features, tower.features(weights, images))
    assert encoding.layers.shape == (5, config.layers, config.width)


def test_layers_hold_the_class_token_after_each_block(images: Tensor) -> None:
    tower = Tower(TOWER)
    weights = random_weights(tower, 0)
    visual = VisionTransformer(
        image_size=16, patch_size=8, width=16, layers=2, heads=2, mlp_ratio=4.0, output_dim=8
    ).eval()
    visual.load_state_dict(weights, strict=True)
    with torch.no_grad():
        patches = visual.conv1(images).flatten(2).transpose(1, 2)
        token = visual.class_embedding.expand(len(images), 1, -1)
        stream = visual.ln_pre(torch.cat([token, patches], dim=1) + visual.positional_embedding)
        first = visual.transformer.resblocks[0](stream)
        second = visual.transformer.resblocks[1](first)
    expected = torch.stack([first[:, 0], second[:, 0]], dim=1)
    torch.testing.assert_close(tower.encode(weights, images).layers, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "plain"])
def test_every_option_changes_the_features(name: str, images: Tensor) -> None:
    plain, variant = features(TOWER, images), features(VARIANTS[name], images)
    assert plain.shape != variant.shape or not torch.allclose(plain, variant, atol=1e-3)


def test_epsilon_reaches_every_layer_norm() -> None:
    modules = Tower(VARIANTS["norm_eps"])._forward.modules()
    epsilons = [module.eps for module in modules if isinstance(module, nn.LayerNorm)]
    assert epsilons == [0.5] * 6  # ln_pre, two per block, ln_post


def test_a_tower_without_projection_gives_the_width_of_the_stream(images: Tensor) -> None:
    assert "proj" not in Tower(VARIANTS["no_projection"]).shapes
    assert features(VARIANTS["no_projection"], images).shape == (5, 16)


def test_making_a_tower_leaves_the_global_generator_as_it_was() -> None:
    before = torch.get_rng_state()
    Tower(TOWER)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_towers_own_weights_have_no_say(images: Tensor) -> None:
    one, other = Tower(TOWER), Tower(TOWER)
    for parameter in other._forward.parameters():
        parameter.zero_()
    weights = random_weights(one, 0)
    assert torch.equal(one.features(weights, images), other.features(weights, images))


def test_an_image_does_not_depend_on_its_batch(images: Tensor) -> None:
    tower = Tower(TOWER)
    weights = random_weights(tower, 0)
    alone = torch.cat([tower.features(weights, image[None]) for image in images])
    torch.testing.assert_close(tower.features(weights, images), alone, rtol=0, atol=1e-5)


def test_gradients_flow_to_every_weight_and_to_no_own_tensor(images: Tensor) -> None:
    tower = Tower(TOWER)
    weights = {name: w.requires_grad_() for name, w in random_weights(tower, 0).items()}
    tower.features(weights, images).square().sum().backward()
    assert all(weight.grad is not None for weight in weights.values())
    assert all(parameter.grad is None for parameter in tower._forward.parameters())


def test_a_missing_weight_is_not_replaced_by_the_towers_own(images: Tensor) -> None:
    tower = Tower(TOWER)
    weights = random_weights(tower, 0)
    del weights["proj"]
    with pytest.raises(ValueError, match=r"weights of another tower: \['proj'\]"):
        tower.features(weights, images)


def test_every_option_keeps_the_names_of_open_clip() -> None:
    assert list(Tower(TOWER).shapes)[:6] == [
        "class_embedding",
        "positional_embedding",
        "proj",
        "conv1.weight",
        "ln_pre.weight",
        "ln_pre.bias",
    ]
    assert len(Tower(TOWER).shapes) == 6 + 2 * 12 + 2
