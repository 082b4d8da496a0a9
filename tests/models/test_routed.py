from collections.abc import Mapping

import pytest
import torch
from open_clip.transformer import VisionTransformer
from torch import Tensor

from distmerge.models import RoutedWeights, Tower, matrix_tokens, mean_tokens, routed_features
from distmerge.spec import TowerConfig
from tests.models.test_tower import VARIANTS
from tests.world import TOWER, random_weights

AMPLE = 1 << 30
every_tower = pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(3)).double()


def weights_of(config: TowerConfig, *, per_tensor: bool = True, tasks: int = 3) -> RoutedWeights:
    """Give float64 weights of a tower with ``tasks`` task vectors."""
    tower = Tower(config)
    base = {k: v.double() for k, v in random_weights(tower, 0).items()}
    models = [random_weights(tower, task + 1) for task in range(tasks)]
    vectors = {k: torch.stack([model[k].double() - base[k] for model in models]) for k in base}
    return RoutedWeights(base, vectors, {k: i * per_tensor for i, k in enumerate(base)})


def routing_of(weights: RoutedWeights, images: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    groups, tasks = max(weights.groups.values()) + 1, len(next(iter(weights.vectors.values())))
    scores = torch.randn(images, tasks, groups, generator=generator, dtype=torch.float64)
    return scores.softmax(dim=1)


def materialised(config: TowerConfig, weights: RoutedWeights, w: Tensor, image: Tensor) -> Tensor:
    """Give one image's features from a whole model made for it."""
    model = {
        name: base + torch.einsum("k,k...->...", w[:, weights.groups[name]], weights.vectors[name])
        for name, base in weights.base.items()
    }
    return Tower(config).to(torch.device("cpu")).features(model, image[None])[0]


@every_tower
@pytest.mark.parametrize("per_tensor", [False, True], ids=["task level", "layer level"])
def test_routed_features_are_those_of_the_models_made_for_each_image(
    config: TowerConfig, images: Tensor, per_tensor: bool
) -> None:
    weights = weights_of(config, per_tensor=per_tensor)
    routing = routing_of(weights, len(images))
    expected = [materialised(config, weights, w, x) for w, x in zip(routing, images, strict=True)]
    found = routed_features(config, weights, routing, images, budget_bytes=AMPLE)
    torch.testing.assert_close(found, torch.stack(expected), rtol=0, atol=1e-12)


@every_tower
def test_the_gradient_is_that_of_the_models_made_for_each_image(
    config: TowerConfig, images: Tensor
) -> None:
    weights = weights_of(config)
    routing = routing_of(weights, len(images))
    one, other = routing.clone().requires_grad_(), routing.clone().requires_grad_()
    routed_features(config, weights, one, images, budget_bytes=AMPLE).square().sum().backward()
    for w, image in zip(other, images, strict=True):
        materialised(config, weights, w, image).square().sum().backward()
    assert one.grad is not None
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-9, atol=1e-10)


def answer(
    routing: Tensor, images: Tensor, *, budget: int, recompute: bool
) -> tuple[Tensor, Tensor]:
    """Give features and the gradient of their squares."""
    leaf, weights = routing.clone().requires_grad_(), weights_of(TOWER)
    found = routed_features(TOWER, weights, leaf, images, budget_bytes=budget, recompute=recompute)
    found.square().sum().backward()
    assert leaf.grad is not None
    return found.detach(), leaf.grad


@pytest.mark.parametrize("budget", [2_000, 20_000, AMPLE])
@pytest.mark.parametrize("recompute", [False, True])
def test_saving_memory_changes_no_number(images: Tensor, budget: int, recompute: bool) -> None:
    routing = routing_of(weights_of(TOWER), len(images))
    whole = answer(routing, images, budget=AMPLE, recompute=False)
    saving = answer(routing, images, budget=budget, recompute=recompute)
    torch.testing.assert_close(saving, whole, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("row", range(5))
def test_an_images_features_do_not_depend_on_its_batch(images: Tensor, row: int) -> None:
    weights = weights_of(TOWER)
    routing = routing_of(weights, len(images))
    together = routed_features(TOWER, weights, routing, images, budget_bytes=AMPLE)
    one = slice(row, row + 1)
    alone = routed_features(TOWER, weights, routing[one], images[one], budget_bytes=AMPLE)
    torch.testing.assert_close(together[one], alone, rtol=0, atol=1e-12)


def test_equal_shares_give_the_weight_average(images: Tensor) -> None:
    weights = weights_of(TOWER)
    routing = torch.full_like(routing_of(weights, len(images)), 1 / 3)
    average = {
        name: base + weights.vectors[name].mean(dim=0) for name, base in weights.base.items()
    }
    found = routed_features(TOWER, weights, routing, images, budget_bytes=AMPLE)
    torch.testing.assert_close(found, Tower(TOWER).features(average, images), rtol=0, atol=1e-12)


@pytest.mark.parametrize("task", range(3))
def test_all_weight_on_one_task_gives_its_own_model(images: Tensor, task: int) -> None:
    weights = weights_of(TOWER)
    routing = torch.zeros_like(routing_of(weights, len(images)))
    routing[:, task] = 1
    own = {name: base + weights.vectors[name][task] for name, base in weights.base.items()}
    found = routed_features(TOWER, weights, routing, images, budget_bytes=AMPLE)
    torch.testing.assert_close(found, Tower(TOWER).features(own, images), rtol=0, atol=1e-12)


def test_no_weight_gives_the_base(images: Tensor) -> None:
    weights = weights_of(TOWER)
    routing = torch.zeros_like(routing_of(weights, len(images)))
    found = routed_features(TOWER, weights, routing, images, budget_bytes=AMPLE)
    torch.testing.assert_close(
        found, Tower(TOWER).features(weights.base, images), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("base_type", [torch.bfloat16, torch.float32])
def test_bfloat16_weights_give_float32_features_and_gradients_close_to_exact_ones(
    images: Tensor, base_type: torch.dtype
) -> None:
    exact = weights_of(TOWER)
    weights = RoutedWeights(
        {name: tensor.to(base_type) for name, tensor in exact.base.items()},
        {name: tensor.bfloat16() for name, tensor in exact.vectors.items()},
        exact.groups,
    )
    routing = routing_of(exact, len(images))
    wanted, slope = answer(routing, images, budget=AMPLE, recompute=False)
    leaf = routing.float().requires_grad_()
    found = routed_features(TOWER, weights, leaf, images.float(), budget_bytes=20_000)
    found.square().sum().backward()
    assert leaf.grad is not None
    assert found.dtype == leaf.grad.dtype == torch.float32
    assert torch.dist(found.double(), wanted) < 0.02 * wanted.norm()
    assert torch.dist(leaf.grad.double(), slope) < 0.05 * slope.norm()


def test_matrices_that_all_tokens_meet_are_named_with_their_number() -> None:
    found, shapes = matrix_tokens(TOWER), Tower(TOWER).shapes
    matrices = {name for name, shape in shapes.items() if len(shape) > 1}
    assert found.keys() == matrices - {"positional_embedding", "proj"}
    assert found.pop("conv1.weight") == 4
    assert set(found.values()) == {5}


def open_clip_tower(weights: Mapping[str, Tensor]) -> VisionTransformer:
    visual = VisionTransformer(
        image_size=16, patch_size=8, width=16, layers=2, heads=2, mlp_ratio=4.0, output_dim=8
    ).eval()
    visual.load_state_dict(weights)
    return visual.requires_grad_(False)


def test_mean_tokens_after_the_blocks_are_those_of_open_clip() -> None:
    weights = random_weights(Tower(TOWER), 0)
    images = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    visual = open_clip_tower(weights)
    out = visual.forward_intermediates(images, output_fmt="NLC", output_extra_tokens=True)
    tokens = torch.cat(
        [out["image_intermediates_prefix"][-1], out["image_intermediates"][-1]], dim=1
    )
    found = mean_tokens(TOWER, weights, images, after="blocks")
    torch.testing.assert_close(found, tokens.mean(dim=1), rtol=0, atol=1e-6)


def test_mean_tokens_after_the_stem_are_the_embedded_patches() -> None:
    weights = random_weights(Tower(TOWER), 0)
    images = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    visual = open_clip_tower(weights)
    expected = visual._embeds(images)[:, 1:].mean(dim=1)
    found = mean_tokens(TOWER, weights, images, after="stem")
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
