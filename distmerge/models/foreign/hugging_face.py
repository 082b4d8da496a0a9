"""CLIP vision towers of Hugging Face's transformers, in both directions."""

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from distmerge.errors import CheckpointError, problem_list
from distmerge.models.foreign.preparation import read_preparation
from distmerge.models.shapes import tower_shapes
from distmerge.models.state import StateDict
from distmerge.spec import TowerConfig, field_problems

_PROJECTION = "visual_projection.weight"
_STEM = {
    "class_embedding": "embeddings.class_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "conv1": "embeddings.patch_embedding",
    "ln_pre": "pre_layrnorm",
    "ln_post": "post_layernorm",
}
_BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_ACTIVATIONS = {"quick_gelu": True, "gelu": False}


def to_hugging_face(
    state: Mapping[str, Tensor], config: TowerConfig
) -> tuple[StateDict, dict[str, object]]:
    """Give the tensors and the ``config.json`` of the same tower in transformers.

    With a projection it is a ``CLIPVisionModelWithProjection``, otherwise a ``CLIPVisionModel``.

    Raises:
        CheckpointError: transformers' CLIP has no such tower.
    """
    problems = []
    if config.ls_init_value is not None:
        problems.append(f"ls_init_value: {config.ls_init_value}; expected none")
    if config.no_ln_pre:
        problems.append("no_ln_pre: true; expected false")
    if problems:
        raise CheckpointError(problem_list("transformers' CLIP has no such tower", problems))
    tensors: StateDict = {}
    for name in tower_shapes(config):
        parts, tensor = _parts(name), state[name].detach()
        pieces = [tensor.T] if name == "proj" else tensor.chunk(len(parts))
        tensors |= {part: piece.contiguous() for part, piece in zip(parts, pieces, strict=True)}
    return {_outer(name): tensor for name, tensor in tensors.items()}, {
        "architectures": ["CLIPVisionModel" + "WithProjection" * config.projection],
        "model_type": "clip_vision_model",
        "hidden_size": config.width,
        "intermediate_size": int(config.width * config.mlp_ratio),
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_channels": 3,
        "image_size": config.image_size,
        "patch_size": config.patch_size,
        "projection_dim": config.output_dim,
        "hidden_act": "quick_gelu" if config.quick_gelu else "gelu",
        "layer_norm_eps": config.norm_eps,
    }


def from_hugging_face(
    state: Mapping[str, Tensor],
    settings: Mapping[str, Any],
    preprocessor: Mapping[str, Any] | None = None,
) -> tuple[StateDict, TowerConfig]:
    """Give the tower of a ``CLIPVisionModel``, with or without projection, or of a ``CLIPModel``.

    Args:
        state: all tensors; those of a text tower are left out.
        settings: ``config.json``.
        preprocessor: ``preprocessor_config.json``; without it, images are read as CLIP does.

    Raises:
        CheckpointError: another architecture, or tensors are missing or unknown, or the images are
            prepared in a way that a tower's description cannot say.
    """
    inner = {
        name.removeprefix("vision_model."): tensor
        for name, tensor in state.items()
        if not name.startswith(("text_", "logit_scale")) and not name.endswith("position_ids")
    }
    config = _config(settings, preprocessor or {}, projection=_PROJECTION in inner)
    parts = {name: _parts(name) for name in tower_shapes(config)}
    known = {part for names in parts.values() for part in names}
    problems = [f"{part}: missing" for part in sorted(known - inner.keys())]
    problems += [f"{name}: not a tensor of this tower" for name in sorted(inner.keys() - known)]
    if problems:
        raise CheckpointError(problem_list(f"not a {config.backbone} tower", problems))
    joined = {name: torch.cat([inner[part] for part in of]) for name, of in parts.items()}
    if config.projection:
        joined["proj"] = joined["proj"].T.contiguous()
    return joined, config


def _parts(name: str) -> tuple[str, ...]:
    """Give transformers' names of one of our tensors; query, key and value are apart there."""
    if name == "proj":
        return (_PROJECTION,)
    module, _, kind = name.rpartition(".")
    if not name.startswith("transformer."):
        return (f"{_STEM[module]}.{kind}" if module else _STEM[kind],)
    block = f"encoder.layers.{name.split('.')[2]}"
    inner, kind = name.split(".", 3)[3].rsplit(".", 1)
    if kind.startswith("in_proj_"):
        kind = kind.removeprefix("in_proj_")
        return tuple(f"{block}.self_attn.{part}_proj.{kind}" for part in "qkv")
    return (f"{block}.{_BLOCK[inner]}.{kind}",)


def _outer(name: str) -> str:
    return name if name == _PROJECTION else f"vision_model.{name}"


def _config(
    settings: Mapping[str, Any], preprocessor: Mapping[str, Any], *, projection: bool
) -> TowerConfig:
    kind = settings.get("model_type")
    if str(kind) not in {"clip_vision_model", "clip"}:
        raise CheckpointError(f"model_type {kind!r}; expected 'clip_vision_model' or 'clip'")
    # transformers leaves defaults out of the vision_config of an old file.
    own = settings.get("vision_config") if kind == "clip" else settings
    vision = {**_DEFAULTS, **(own if isinstance(own, Mapping) else {})}
    if kind == "clip" and settings.get("projection_dim"):
        vision["projection_dim"] = settings["projection_dim"]
    problems = [
        f"{name}: {vision[name]!r}; expected a number above 0"
        for name, usual in _DEFAULTS.items()
        if isinstance(usual, int | float) and not _is_positive(vision[name])
    ]
    if str(vision["hidden_act"]) not in _ACTIVATIONS:
        problems.append(f"hidden_act {vision['hidden_act']!r}; expected quick_gelu or gelu")
    if problems:
        raise CheckpointError(problem_list("config.json describes no tower", problems))
    try:
        return TowerConfig(
            image_size=vision["image_size"],
            patch_size=vision["patch_size"],
            width=vision["hidden_size"],
            layers=vision["num_hidden_layers"],
            heads=vision["num_attention_heads"],
            mlp_ratio=vision["intermediate_size"] / vision["hidden_size"],
            output_dim=vision["projection_dim"] if projection else vision["hidden_size"],
            projection=projection,
            quick_gelu=_ACTIVATIONS[vision["hidden_act"]],
            norm_eps=vision["layer_norm_eps"],
            preprocess=read_preparation(preprocessor, vision["image_size"]),
        )
    except ValidationError as error:
        problems = field_problems(error)
        raise CheckpointError(problem_list("config.json describes no tower", problems)) from error


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and value > 0


_DEFAULTS: Mapping[str, object] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "projection_dim": 512,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
