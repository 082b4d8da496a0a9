"""The modules of every kind of tower."""

import pytest
import torch
from torch import Tensor

from distmerge.errors import CheckpointError
from distmerge.models import Tower, tower_shapes
from distmerge.models.architecture import built
from distmerge.spec import AnyTower, OpenClipTower, TextTower
from tests.texts import TEXT_TOWER
from tests.towers import AVERAGED, RESNET, TOWERS, started, tower
from tests.world import TOWER, random_weights

TIMM = tower(
    "timm-tiny", 160, {"timm_model_name": "test_vit", "timm_pool": "avg", "timm_proj": "linear"}
)
COCA = tower(
    "coca-tiny",
    16,
    {
        "layers": 1,
        "width": 16,
        "head_width": 8,
        "patch_size": 8,
        "attentional_pool": True,
        "attn_pooler_heads": 2,
        "output_tokens": True,
    },
)
KINDS = {**TOWERS, "timm": TIMM, "coca": COCA}
TEXTS = {
    pooling: TEXT_TOWER.model_copy(update={"pooling": pooling})
    for pooling in ("mean", "first", "pooler")
}


def images_of(config: OpenClipTower) -> Tensor:
    size = config.preprocess.size
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))


def tokens() -> Tensor:
    numbers = torch.randint(1, 30, (4, 10), generator=torch.Generator().manual_seed(0))
    for text, length in enumerate((10, 3, 7, 1)):
        numbers[text, length:] = 0
    return numbers


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_features_are_open_clips_with_the_same_weights_loaded_strictly(
    config: OpenClipTower,
) -> None:
    from open_clip.model import _build_vision_tower

    settings = {**config.open_clip, "output_tokens": False}
    visual = _build_vision_tower(config.output_dim, settings, config.quick_gelu).eval()
    weights, images = started(config), images_of(config)
    visual.load_state_dict(weights, strict=True)
    with torch.no_grad():
        found = Tower(config).features(weights, images)
        torch.testing.assert_close(found, visual(images), rtol=0, atol=1e-6)


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_shapes_without_weights_are_those_of_the_module(config: OpenClipTower) -> None:
    shapes = {name: tuple(shape) for name, shape in Tower(config).shapes.items()}
    assert list(tower_shapes(config).items()) == list(shapes.items())
    assert not any("num_batches_tracked" in name for name in shapes)


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_such_a_tower_gives_no_layers(config: OpenClipTower) -> None:
    weights, images = started(config), images_of(config)
    encoding = Tower(config).encode(weights, images)
    assert encoding.layers.shape == (3, 0, 0)
    assert torch.equal(encoding.features, Tower(config).features(weights, images))


@pytest.mark.parametrize("config", [RESNET, AVERAGED], ids=["resnet", "average"])
def test_gradients_reach_all_but_statistics(config: OpenClipTower) -> None:
    weights = {name: w.requires_grad_() for name, w in started(config).items()}
    Tower(config).features(weights, images_of(config)).square().sum().backward()
    without = {name for name, weight in weights.items() if weight.grad is None}
    assert without == {name for name in weights if "running_" in name}


def test_a_variance_below_zero_counts_as_none() -> None:
    """Merging with coefficients that sum to more than one can give one."""
    weights = started(RESNET)
    below = {n: w - 5 if n.endswith("running_var") else w for n, w in weights.items()}
    none = {n: 0 * w if n.endswith("running_var") else w for n, w in weights.items()}
    images, resnet = images_of(RESNET), Tower(RESNET)
    assert torch.equal(resnet.features(below, images), resnet.features(none, images))


def test_statistics_have_a_say() -> None:
    weights, images, resnet = started(RESNET), images_of(RESNET), Tower(RESNET)
    moved = {n: w + 0.5 if n.endswith("running_mean") else w for n, w in weights.items()}
    assert not torch.allclose(resnet.features(moved, images), resnet.features(weights, images))


@pytest.mark.parametrize(("config", "held"), [(RESNET, 0), (TOWER, 0), (TEXT_TOWER, 2)])
def test_only_tensors_that_no_checkpoint_holds_are_held(config: AnyTower, held: int) -> None:
    module = built(config)
    tensors = [*module.parameters(), *module.buffers()]
    assert all(tensor.is_meta for tensor in tensors) is not bool(held)
    assert len(dict(module.named_buffers()).keys() - module.state_dict().keys()) == held


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"timm_model_name": "no_such_model"}, "open_clip cannot build odd: .*no_such_model"),
        ({"depth": 3}, "open_clip cannot build odd: .*unexpected keyword argument 'depth'"),
        ({"pool_type": "max"}, "open_clip cannot build odd"),
    ],
)
def test_a_tower_that_open_clip_cannot_build_is_named(
    settings: dict[str, object], problem: str
) -> None:
    with pytest.raises(CheckpointError, match=problem):
        built(tower("odd", 16, settings))


def test_nothing_is_downloaded() -> None:
    settings = {**TIMM.open_clip, "timm_model_pretrained": True}
    pretrained = TIMM.model_copy(update={"open_clip": settings})
    assert tower_shapes(pretrained) == tower_shapes(TIMM)


@pytest.mark.parametrize("config", TEXTS.values(), ids=TEXTS)
def test_text_features_are_those_of_transformers(config: TextTower) -> None:
    from transformers import AutoConfig, AutoModel

    texts = Tower(config)
    weights, numbers = random_weights(texts, 0), tokens()
    settings = dict(config.transformers)
    encoder = AutoModel.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings))
    if config.pooling != "pooler":
        encoder.pooler = None
    encoder.load_state_dict(weights, strict=True)
    attended = (numbers != 0).long()
    with torch.no_grad():
        out = encoder.eval()(input_ids=numbers, attention_mask=attended)
    shares = attended[..., None] / attended.sum(dim=1)[:, None, None]
    expected = {
        "mean": (out.last_hidden_state * shares).sum(dim=1),
        "first": out.last_hidden_state[:, 0],
        "pooler": out.pooler_output,
    }[config.pooling]
    found = texts.features(weights, numbers)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("config", TEXTS.values(), ids=TEXTS)
def test_padding_changes_no_feature(config: TextTower) -> None:
    texts = Tower(config)
    weights, numbers = random_weights(texts, 0), tokens()
    alone = torch.cat([texts.features(weights, text[text != 0][None]) for text in numbers])
    torch.testing.assert_close(texts.features(weights, numbers), alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_the_last_layer_of_a_text_tower_is_its_feature(pooling: str) -> None:
    texts = Tower(TEXTS[pooling])
    encoding = texts.encode(random_weights(texts, 0), tokens())
    assert encoding.layers.shape == (4, 2, 16)
    torch.testing.assert_close(encoding.layers[:, -1], encoding.features)


def test_a_pooler_is_a_parameter_only_where_it_is_used() -> None:
    names = {pooling: set(tower_shapes(config)) for pooling, config in TEXTS.items()}
    assert names["mean"] == names["first"]
    assert names["pooler"] - names["mean"] == {"pooler.dense.weight", "pooler.dense.bias"}


def test_an_encoder_without_a_pooler_cannot_be_asked_for_it() -> None:
    settings = {
        "model_type": "distilbert",
        "vocab_size": 34,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "n_heads": 2,
        "hidden_dim": 32,
    }
    config = TEXT_TOWER.model_copy(update={"transformers": settings, "pooling": "pooler"})
    with pytest.raises(CheckpointError, match="has no pooler; expected pooling: mean or first"):
        built(config)


def test_a_plain_vision_transformer_has_layers() -> None:
    plain = Tower(TOWER)
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert plain.encode(random_weights(plain, 0), images).layers.shape == (2, 2, 16)
