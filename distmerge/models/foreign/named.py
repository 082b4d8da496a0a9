"""The image towers of open_clip's models, by the models' names."""

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from distmerge.errors import CheckpointError, problem_list
from distmerge.models.foreign.architecture import MEAN, STD
from distmerge.spec import OpenClipTower, Preprocess, TowerConfig

# They say nothing about the feature: they matter while training, or give tokens beside it.
_BESIDE = {"patch_dropout", "output_tokens"}
_PLAIN = {
    *("image_size", "layers", "width", "head_width", "patch_size", "mlp_ratio"),
    *("ls_init_value", "no_ln_pre"),
}


def tower_of_model(model: str) -> TowerConfig | OpenClipTower:
    """Give the image tower of a model that open_clip knows by name, such as ViT-B-32-quickgelu.

    Args:
        model: the name, or ``NAME:TAG`` with open_clip's tag of pretrained weights, which may read
            another input or use another activation than the name alone tells.

    Raises:
        CheckpointError: open_clip does not know the name or the tag, or the tower's input is no
            square, or the name alone does not tell the input.
    """
    import open_clip

    name, _, tag = model.partition(":")
    settings = open_clip.get_model_config(name)
    if settings is None:
        close = difflib.get_close_matches(name, open_clip.list_models(), n=3)
        raise CheckpointError(f"{model!r}: no model of open_clip; close: {', '.join(close) or '-'}")
    weights = {
        known: open_clip.get_pretrained_cfg(name, known)
        for known in open_clip.list_pretrained_tags_by_model(name)
    }
    ways = {known: _way(each) for known, each in weights.items()}
    if tag and tag not in weights:
        known = ", ".join(weights) or "none"
        raise CheckpointError(f"{model!r}: no such pretrained weights; those of {name}: {known}")
    vision = settings["vision_cfg"]
    quick_gelu = settings.get("quick_gelu", False) or bool(tag and weights[tag].get("quick_gelu"))
    way = ways[tag] if tag else _agreed(model, ways)
    preprocess = _preprocess(model, vision.get("image_size", 224), way)
    complete = {**vars(open_clip.CLIPVisionCfg()), **vision}
    if _is_plain(complete, vars(open_clip.CLIPVisionCfg())):
        return _plain(complete, settings["embed_dim"], preprocess, quick_gelu=quick_gelu)
    return OpenClipTower(
        open_clip=vision,
        name=name,
        output_dim=settings["embed_dim"],
        quick_gelu=quick_gelu,
        preprocess=preprocess,
    )


def _way(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Give how pretrained weights read images, with our names."""
    return {
        "resize": weights["resize_mode"],
        "interpolation": weights["interpolation"],
        "mean": tuple(weights["mean"]),
        "std": tuple(weights["std"]),
    }


def _agreed(model: str, ways: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Give how all pretrained weights of a model read images; open_clip's own choice without any.

    Raises:
        CheckpointError: they differ; all of them are listed.
    """
    first, *others = ways.values() or [{"mean": MEAN, "std": STD}]
    if any(way != first for way in others):
        title = f"{model!r}: its pretrained weights read images differently; choose NAME:TAG"
        tags: dict[str, list[str]] = {}
        for tag, way in ways.items():
            words = ", ".join(f"{name} {value}" for name, value in way.items())
            tags.setdefault(words, []).append(tag)
        raise CheckpointError(
            problem_list(title, [f"{', '.join(own)}: {words}" for words, own in tags.items()])
        )
    return first


def _preprocess(model: str, size: Any, way: Mapping[str, Any]) -> Preprocess:
    """Give a tower's input.

    Raises:
        CheckpointError: a study cannot read images so.
    """
    height, width = size if isinstance(size, list | tuple) else (size, size)
    if height != width:
        raise CheckpointError(f"{model!r}: reads {height} by {width} pixels; expected a square")
    try:
        return Preprocess.model_validate({"size": height, **way})
    except ValidationError as error:
        raise CheckpointError(f"{model!r}: no study reads images so: {error}") from error


def _is_plain(vision: Mapping[str, Any], defaults: Mapping[str, Any]) -> bool:
    """Whether it is a vision transformer whose feature is its class token's."""
    others = vision.keys() - _PLAIN - _BESIDE
    return isinstance(vision["layers"], int) and all(vision[k] == defaults[k] for k in others)


def _plain(
    vision: Mapping[str, Any], output_dim: int, preprocess: Preprocess, *, quick_gelu: bool
) -> TowerConfig:
    return TowerConfig(
        image_size=preprocess.size,
        patch_size=vision["patch_size"],
        width=vision["width"],
        layers=vision["layers"],
        heads=vision["width"] // vision["head_width"],
        mlp_ratio=vision["mlp_ratio"],
        output_dim=output_dim,
        ls_init_value=vision["ls_init_value"],
        no_ln_pre=vision["no_ln_pre"],
        quick_gelu=quick_gelu,
        preprocess=preprocess,
    )
