"""Which tower a state dict is of, and everything in which it is not that tower."""

import math
from collections.abc import Iterator, Mapping

import torch
from pydantic import ValidationError
from torch import Tensor

from distmerge.errors import CheckpointError, problem_list
from distmerge.models.foreign.modules import Facts
from distmerge.models.shapes import tower_shapes
from distmerge.spec import AnyTower, OpenClipTower, Preprocess, TowerConfig, field_problems

# OpenAI's normalisation, which most CLIP towers with a class token use.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
WAYS = ("resize", "interpolation", "mean", "std")
"""The fields of the preprocessing that an architecture does not decide."""


def tower_from_shapes(state: Mapping[str, Tensor], facts: Facts) -> TowerConfig | None:
    """Give the tower of a state dict, or None if its tensors do not tell all of it.

    Of the preprocessing, what the facts do not tell is OpenAI's (see ``untold``).

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
    pooled = any(name.startswith("attn_pool.") for name in state)
    if pooled or facts.unusual or facts.heads is None or facts.quick_gelu is None:
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
            preprocess=Preprocess(
                size=grid * patch,
                mean=facts.mean or MEAN,
                std=facts.std or STD,
                resize=facts.resize or "shortest",
            ),
        )
    except ValidationError as error:
        problems = field_problems(error)
        raise CheckpointError(problem_list("no tower has these shapes", problems)) from error


def untold(facts: Facts) -> tuple[str, ...]:
    """Give the fields of the preprocessing that a checkpoint does not tell."""
    return tuple(name for name in WAYS if getattr(facts, name, None) is None)


def fact_problems(facts: Facts, config: AnyTower) -> Iterator[str]:
    """Yield where a tower that was named for a pickled module is not the module's."""
    if isinstance(config, TowerConfig):
        for field, value in facts.unusual.items():
            yield f"{field}: {value} by the checkpoint; a {config.backbone} has none"
    if isinstance(config, OpenClipTower):
        names = ("quick_gelu", "mean", "std", "resize")
        named = {**config.open_clip, **dict(config.preprocess), "quick_gelu": config.quick_gelu}
        for field, value in {**facts.unusual, **{n: getattr(facts, n) for n in names}}.items():
            if value is not None and value != named.get(field):
                yield f"{field}: {value} by the checkpoint, {named.get(field)} by {config.name}"


def check_tower(state: Mapping[str, Tensor], config: AnyTower) -> None:
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
