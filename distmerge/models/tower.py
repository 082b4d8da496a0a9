"""An image tower as a pure function of its parameters."""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from distmerge.models.seeding import initialised
from distmerge.spec import TowerConfig


class Encoding(NamedTuple):
    """What a tower says about a batch of images."""

    layers: Float[Tensor, "image layer width"]
    """The class token after every block."""
    features: Float[Tensor, "image feature"]
    """The final image feature, not normalised."""


class _Forward(nn.Module):
    """Gives ``functional_call`` one entry point for both kinds of answer."""

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual

    def forward(self, images: Tensor, *, layers: bool) -> Encoding | Tensor:
        if not layers:
            features: Tensor = self.visual(images)
            return features
        out = self.visual.forward_intermediates(  # type: ignore[operator]  # open_clip is untyped
            images, output_fmt="NLC", output_extra_tokens=True
        )
        tokens = [token[:, 0] for token in out["image_intermediates_prefix"]]
        return Encoding(torch.stack(tokens, dim=1), out["image_features"])


class Tower:
    """The architecture of an image tower; weights are an argument of every call.

    The merged model, the base and the individual models share one ``Tower``.
    """

    def __init__(self, config: TowerConfig) -> None:
        self.config = config
        visual = initialised(partial(_vision_transformer, config), "tower")
        self._forward = _Forward(visual).eval().requires_grad_(False)
        self.shapes: dict[str, torch.Size] = {k: v.shape for k, v in visual.state_dict().items()}

    def to(self, device: torch.device) -> "Tower":
        """Move the module's own tensors, so that calls with weights on ``device`` work."""
        self._forward.to(device)
        return self

    def features(
        self, weights: Mapping[str, Tensor], images: Float[Tensor, "image channel height width"]
    ) -> Float[Tensor, "image feature"]:
        """Give the final image features under ``weights``, not normalised."""
        features: Tensor = self._call(weights, images, layers=False)
        return features

    def encode(
        self, weights: Mapping[str, Tensor], images: Float[Tensor, "image channel height width"]
    ) -> Encoding:
        """Give the final image features and the class token after every block."""
        encoding: Encoding = self._call(weights, images, layers=True)
        return encoding

    def _call(self, weights: Mapping[str, Tensor], images: Tensor, *, layers: bool):  # type: ignore[no-untyped-def]  # one of two types
        named = {f"visual.{name}": tensor for name, tensor in weights.items()}
        return functional_call(self._forward, named, (images,), {"layers": layers}, strict=True)


def _vision_transformer(config: TowerConfig) -> nn.Module:
    from open_clip.transformer import LayerNorm, QuickGELU, VisionTransformer

    visual: nn.Module = VisionTransformer(
        image_size=config.image_size,
        patch_size=config.patch_size,
        width=config.width,
        layers=config.layers,
        heads=config.heads,
        mlp_ratio=config.mlp_ratio,
        ls_init_value=config.ls_init_value,
        no_ln_pre=config.no_ln_pre,
        pool_type="tok",
        output_dim=config.output_dim,
        act_layer=QuickGELU if config.quick_gelu else nn.GELU,
        norm_layer=partial(LayerNorm, eps=config.norm_eps),
    )
    if not config.projection:
        visual.register_parameter("proj", None)
    return visual
