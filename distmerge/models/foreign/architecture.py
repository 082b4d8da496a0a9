"""Which tower a state dict is of, and everything in which it is not that tower."""

import difflib
import math
from collections.abc import Mapping

import torch
from pydantic import ValidationError
from torch import Tensor

from distmerge.errors import CheckpointError, problem_list
from distmerge.models.foreign.modules import Facts
from distmerge.models.shapes import tower_shapes
from distmerge.spec import Preprocess, TowerConfig

# OpenAI's normalisation, which all CLIP towers with a class token use unless they say otherwise.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def tower_from_shapes(state: Mapping[str, Tensor], facts: Facts) -> TowerConfig | None:
    """Give the tower of a state dict, or None if its heads or its activation are not known.

    Raises:
        CheckpointError: tensors that every tower has are missing or of an impossible shape.
    """
    needed = {"conv1.weight": 4, "positional_embedding": 2, "ln_post.weight": 1}
    needed["transformer.resblocks.0.mlp.c_fc.weight"] = 2
    problems = [
        f"{name}: {_shape(state, name)}; expected {axes} axes"
        for name, axes in needed.items()
        if name not in state or state[name].ndim != axes
    ]
    if problems:
        raise CheckpointError(problem_list("not open_clip's VisionTransformer", problems))
    if facts.heads is None or facts.quick_gelu is None:
        return None
    width, _, _, patch = state["conv1.weight"].shape
    grid = math.isqrt(len(state["positional_embedding"]) - 1)
    blocks = {name.split(".")[2] for name in state if name.startswith("transformer.resblocks.")}
    try:
        return TowerConfig(
            image_size=grid * patch,
            patch_size=patch,
            width=width,
            layers=len(blocks),
            heads=facts.heads,
            mlp_ratio=len(state["transformer.resblocks.0.mlp.c_fc.weight"]) / width,
            output_dim=state["proj"].shape[-1] if "proj" in state else width,
            projection="proj" in state,
            ls_init_value=1e-5 if "transformer.resblocks.0.ls_1.gamma" in state else None,
            no_ln_pre="ln_pre.weight" not in state,
            quick_gelu=facts.quick_gelu,
            norm_eps=facts.norm_eps or 1e-5,
            preprocess=Preprocess(size=grid * patch, mean=facts.mean or MEAN, std=facts.std or STD),
        )
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise CheckpointError(problem_list("no tower has these shapes", problems)) from error


def tower_of_model(model: str) -> TowerConfig:
    """Give the image tower of a model that open_clip knows by name, such as ViT-B-32-quickgelu.

    Raises:
        CheckpointError: open_clip does not know it, or its tower is of another kind.
    """
    import open_clip

    settings = open_clip.get_model_config(model)
    if settings is None:
        close = difflib.get_close_matches(model, open_clip.list_models(), n=3)
        raise CheckpointError(f"{model!r}: no model of open_clip; close: {', '.join(close) or '-'}")
    vision = dict(settings["vision_cfg"])
    size, layers = vision.pop("image_size", 224), vision.pop("layers", 12)
    width, head_width = vision.pop("width", 768), vision.pop("head_width", 64)
    patch, mlp_ratio = vision.pop("patch_size", 16), vision.pop("mlp_ratio", 4.0)
    scale, no_ln_pre = vision.pop("ls_init_value", None), vision.pop("no_ln_pre", False)
    vision.pop("patch_dropout", None)  # only while training
    if vision or not isinstance(layers, int) or not isinstance(size, int):
        raise CheckpointError(
            f"{model!r}: not a plain vision transformer with a class token "
            f"(it has {', '.join(vision) or 'stages'}); expected one such as ViT-B-32"
        )
    return TowerConfig(
        image_size=size,
        patch_size=patch,
        width=width,
        layers=layers,
        heads=width // head_width,
        mlp_ratio=mlp_ratio,
        output_dim=settings["embed_dim"],
        ls_init_value=scale,
        no_ln_pre=no_ln_pre,
        quick_gelu=settings.get("quick_gelu", False),
        preprocess=Preprocess(size=size, mean=MEAN, std=STD),
    )


def check_tower(state: Mapping[str, Tensor], config: TowerConfig) -> None:
    """Compare a state dict with a tower.

    Raises:
        CheckpointError: names or shapes differ; all of them are listed.
    """
    shapes = tower_shapes(config)
    problems = [
        f"{name}: {_shape(state, name)}; expected {shape}"
        for name, shape in shapes.items()
        if name not in state or state[name].shape != shape
    ]
    problems += [f"{name}: not a tensor of this tower" for name in state if name not in shapes]
    if problems:
        raise CheckpointError(problem_list(f"not a {config.backbone} tower", problems))


def check_numbers(state: Mapping[str, Tensor]) -> None:
    """Look at every number once.

    Raises:
        CheckpointError: some are not finite, or not floating point; all tensors are listed.
    """
    problems = []
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            problems.append(f"{name}: {tensor.dtype} numbers; expected floating point")
        elif count := int(tensor.isfinite().logical_not().sum()):
            problems.append(f"{name}: {count} of {tensor.numel()} are NaN or infinity")
            if tensor.dtype == torch.float16:
                problems[-1] += "; float16 overflows over 65504: import the float32 checkpoint"
    if problems:
        raise CheckpointError(problem_list("weights that cannot be used", problems))


def _shape(state: Mapping[str, Tensor], name: str) -> str:
    return f"got {tuple(state[name].shape)}" if name in state else "missing"
