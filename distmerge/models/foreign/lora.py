"""LoRA adapters of the PEFT library, merged into the tower that they were trained on."""

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from distmerge.errors import CheckpointError, problem_list
from distmerge.models.foreign.hugging_face import from_hugging_face, to_hugging_face
from distmerge.models.state import StateDict
from distmerge.spec import TowerConfig

_MATRIX = re.compile(r"(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.\w+)?\.weight")
# Each of these changes the formula, or holds weights outside of the two matrices.
_REFUSED = (
    *("use_dora", "fan_in_fan_out", "lora_bias", "use_qalora", "layer_replication"),
    *("modules_to_save", "target_parameters", "trainable_token_indices", "alora_invocation_tokens"),
)
_PLAIN_STARTS = (None, True, False, "gaussian", "eva", "orthogonal")


def merge_adapter(
    state: Mapping[str, Tensor],
    config: TowerConfig,
    adapter: Mapping[str, Tensor],
    settings: Mapping[str, Any],
) -> StateDict:
    """Give ``W + scale B A`` for every adapted matrix, and the base's tensors for the rest.

    ``scale`` is ``alpha / r``, or ``alpha / sqrt(r)`` for rank-stabilised LoRA. The adapter may
    name modules as transformers does or as open_clip does. Source: arXiv:2106.09685, eq. 3.

    Args:
        state: the base.
        config: the base's tower.
        adapter: ``adapter_model.safetensors``.
        settings: ``adapter_config.json``.

    Raises:
        CheckpointError: the adapter is of another kind or of another tower.
    """
    pairs, problems = _pairs(adapter)
    problems += _setting_problems(settings)
    ours = all(f"{target}.weight" in state for target in pairs)
    if ours:
        tensors, written = dict(state), dict[str, object]()
    else:
        outer, written = to_hugging_face(state, config)
        tensors = {name.removeprefix("vision_model."): value for name, value in outer.items()}
    for target, pair in pairs.items():
        name = f"{target.removeprefix('vision_model.')}.weight"
        if problem := _fit_problem(target, pair, tensors.get(name)):
            problems.append(problem)
        elif not problems:
            delta = pair["B"].float() @ pair["A"].float()
            tensors[name] = tensors[name] + _scale(target, len(pair["A"]), settings) * delta
    if problems:
        raise CheckpointError(problem_list("an adapter that cannot be merged", problems))
    return tensors if ours else from_hugging_face(tensors, written)[0]


def _pairs(adapter: Mapping[str, Tensor]) -> tuple[dict[str, dict[str, Tensor]], list[str]]:
    pairs: dict[str, dict[str, Tensor]] = {}
    problems = []
    for name, tensor in adapter.items():
        if found := _MATRIX.fullmatch(name):
            pairs.setdefault(found.group(1), {})[found.group(2)] = tensor
        else:
            problems.append(f"{name}: not a LoRA matrix; expected ...lora_A.weight or lora_B")
    return pairs, problems or ([] if pairs else ["no LoRA matrices in the adapter"])


def _setting_problems(settings: Mapping[str, Any]) -> list[str]:
    problems = [
        f"{name}: {settings[name]}; not supported, merge it with peft's merge_and_unload"
        for name in _REFUSED
        if settings.get(name)
    ]
    if settings.get("peft_type") != "LORA":
        problems.append(f"peft_type: {settings.get('peft_type')!r}; expected 'LORA'")
    if not isinstance(settings.get("lora_alpha"), (int, float)):
        problems.append(f"lora_alpha: {settings.get('lora_alpha')!r}; expected a number")
    if settings.get("bias", "none") != "none":
        problems.append(f"bias: {settings['bias']!r}; expected 'none'")
    if settings.get("init_lora_weights") not in _PLAIN_STARTS:
        problems.append(
            f"init_lora_weights: {settings['init_lora_weights']!r}; it changes the base's weights, "
            "save the adapter with peft's path_initial_model_for_weight_conversion"
        )
    return problems


def _fit_problem(target: str, pair: Mapping[str, Tensor], weight: Tensor | None) -> str | None:
    if weight is None:
        return f"{target}: the base has no such module"
    if pair.keys() != {"A", "B"}:
        return f"{target}: only lora_{next(iter(pair))}; expected lora_A and lora_B"
    got = (tuple(pair["B"].shape), tuple(pair["A"].shape))
    rank = got[1][0] if got[1] else 0
    if weight.ndim != 2 or got != ((len(weight), rank), (rank, weight.shape[1])):
        return f"{target}: lora_B and lora_A of {got[0]} and {got[1]} for a {tuple(weight.shape)}"
    return None


def _scale(target: str, rank: int, settings: Mapping[str, Any]) -> float:
    alpha = settings["lora_alpha"]
    for pattern, own in (settings.get("alpha_pattern") or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", target):
            alpha = own
            break
    return float(alpha) / (math.sqrt(rank) if settings.get("use_rslora") else rank)
