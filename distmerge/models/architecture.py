"""The modules that a tower's description means, each with one entry point for both answers."""

from functools import partial
from typing import ClassVar, TypeAlias

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from distmerge.errors import CheckpointError
from distmerge.models.linear import with_linear
from distmerge.models.seeding import initialised
from distmerge.spec import AnyTower, OpenClipTower, TextTower, TowerConfig

_Answer: TypeAlias = Tensor | tuple[Tensor, Tensor]  # features, or layers and features


class _Module(nn.Module):
    """Its tensors' names begin with ``PREFIX``, which checkpoints leave out."""

    PREFIX: ClassVar[str]


def skeleton(config: AnyTower) -> _Module:
    """Give the module of a tower with shapes alone: all its tensors are on the meta device.

    Raises:
        CheckpointError: its library is not installed, or does not know such a tower.
    """
    with torch.device("meta"):
        return drawn(config)


def built(config: AnyTower) -> _Module:
    """Give the module of a tower, to be called with weights; it holds none if it needs none.

    Tensors of its own that no checkpoint holds, such as position numbers, need a real module.

    Raises:
        CheckpointError: its library is not installed, or does not know such a tower.
    """
    module = skeleton(config)
    own = {name for name, _ in module.named_buffers()} - module.state_dict().keys()
    module = initialised(partial(drawn, config), "tower") if own else module
    return with_linear(module)


def drawn(config: AnyTower) -> _Module:
    """Give the module of a tower as its library makes it, weights drawn at random.

    Raises:
        CheckpointError: its library is not installed, or does not know such a tower.
    """
    if isinstance(config, TowerConfig):
        return _Transformer(_vision_transformer(config))
    if isinstance(config, OpenClipTower):
        return _OpenClip(_open_clip(config))
    return _Text(_text_encoder(config), config)


class _Visual(_Module):
    """A tower of open_clip."""

    PREFIX = "visual."

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual


class _Transformer(_Visual):
    def forward(self, images: Tensor, *, layers: bool) -> _Answer:
        if not layers:
            features: Tensor = self.visual(images)
            return features
        out = self.visual.forward_intermediates(  # type: ignore[operator]  # open_clip is untyped
            images, output_fmt="NLC", output_extra_tokens=True
        )
        tokens = [token[:, 0] for token in out["image_intermediates_prefix"]]
        return torch.stack(tokens, dim=1), out["image_features"]


class _OpenClip(_Visual):
    def forward(self, images: Tensor, *, layers: bool) -> _Answer:
        features: Tensor = self.visual(images)
        return (features.new_zeros(len(features), 0, 0), features) if layers else features


class _Text(_Module):
    PREFIX = "encoder."

    def __init__(self, encoder: nn.Module, config: TextTower) -> None:
        super().__init__()
        self.encoder, self.config = encoder, config

    def forward(self, tokens: Int64[Tensor, "text token"], *, layers: bool) -> _Answer:
        attended = tokens != self.config.preprocess.padding
        used = attended.any(dim=0).nonzero()
        longest = int(used.max()) + 1 if len(used) else 1  # a batch is as long as its longest text
        tokens, attended = tokens[:, :longest], attended[:, :longest]
        out = self.encoder(
            input_ids=tokens, attention_mask=attended.long(), output_hidden_states=layers
        )
        features: Tensor = (
            out.pooler_output
            if self.config.pooling == "pooler"
            else self._pool(out.last_hidden_state, attended)
        )
        if not layers:
            return features
        hidden = [self._pool(tokens, attended) for tokens in out.hidden_states[1:]]
        return torch.stack(hidden, dim=1), features

    def _pool(
        self, tokens: Float[Tensor, "text token width"], attended: Tensor
    ) -> Float[Tensor, "text width"]:
        if self.config.pooling != "mean":
            return tokens[:, 0]
        shares = attended / attended.sum(dim=1, keepdim=True).clamp(min=1)
        return torch.einsum("ntw,nt->nw", tokens, shares.to(tokens.dtype))


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


def _open_clip(config: OpenClipTower) -> nn.Module:
    from open_clip.model import _build_vision_tower  # the public classes add a text tower

    try:
        visual: nn.Module = _build_vision_tower(
            config.output_dim, config.vision_cfg, config.quick_gelu
        )
    except (TypeError, RuntimeError, AssertionError) as error:
        raise CheckpointError(f"open_clip cannot build {config.name}: {error}") from error
    for module in visual.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001  # all of its kinds
            module.register_buffer("num_batches_tracked", None)  # counts training steps
    return visual


def _text_encoder(config: TextTower) -> nn.Module:
    try:
        from transformers import AutoConfig, AutoModel
    except ImportError as error:
        raise CheckpointError(
            "text encoders need transformers: pip install 'distmerge[text]'"
        ) from error
    described = dict(config.transformers)
    try:
        known = AutoConfig.for_model(described.pop("model_type"), **described)
        encoder: nn.Module = AutoModel.from_config(known)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"transformers cannot build {config.backbone}: {error}") from error
    if config.pooling != "pooler" and getattr(encoder, "pooler", None) is not None:
        encoder.register_module("pooler", None)
    elif config.pooling == "pooler" and getattr(encoder, "pooler", None) is None:
        raise CheckpointError(f"{config.backbone} has no pooler; expected pooling: mean or first")
    return encoder
