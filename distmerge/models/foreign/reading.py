"""A checkpoint of another program, whichever it is: its tower, its head, what it tells of both."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distmerge.errors import CheckpointError
from distmerge.models.foreign.architecture import (
    WAYS,
    check_numbers,
    check_tower,
    tower_from_shapes,
    untold,
)
from distmerge.models.foreign.hugging_face import from_hugging_face
from distmerge.models.foreign.lora import merge_adapter
from distmerge.models.foreign.modules import Facts, module_facts, normalises, stored_tensors
from distmerge.models.foreign.pickled import Pickled, read_pickled
from distmerge.models.foreign.sources import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CONFIG,
    PREPROCESSOR,
    WEIGHTS,
)
from distmerge.models.foreign.text import (
    DENSE,
    LENGTHS,
    POOLING,
    TEXT_KINDS,
    TOKENIZER,
    from_text_model,
)
from distmerge.models.state import StateDict, load_state, sha256
from distmerge.spec import AnyTower, TowerConfig, digest, load_tower_config

# A vision transformer, a ResNet and one of timm's have such a tensor each; no text encoder has.
_TRANSFORMER = "class_embedding"
_MARK = re.compile(rf"((?:.*?\.)?)(?:{_TRANSFORMER}|attnpool\.positional_embedding|trunk\..+)")
_HEADS = ("", "classification_head.")
_TEXT = (
    *("text.", "text_projection", "token_embedding.", "positional_embedding", "transformer."),
    *("ln_final.", "cls_emb", "logit_scale", "logit_bias"),
)


@dataclass(frozen=True)
class Base:
    """An imported tower that another checkpoint is relative to."""

    state: StateDict
    config: TowerConfig
    digest: str


@dataclass(frozen=True)
class Foreign:
    """What a checkpoint holds, in our names and in float32."""

    kind: str
    digest: str
    """SHA-256 of the file with the weights."""
    tower: StateDict | None = None
    config: AnyTower | None = None
    """None if the checkpoint does not tell all of it."""
    facts: Facts = field(default_factory=Facts)
    """What it tells then."""
    head: StateDict | None = None
    text: StateDict | None = None
    """The text tower and ``logit_scale`` of a pickled CLIP model, in open_clip's names."""
    assumed: tuple[str, ...] = ()
    """The fields of the tower's preprocessing that it does not tell; they are CLIP's own."""
    settings: str = ""
    """Identifies the JSON files that say how its weights are read."""
    linear: bool = False
    """Whether the head takes features that are not normalised."""
    beside: Mapping[str, bytes] = field(default_factory=dict)
    """Files that go beside the tower's description, by name."""


def load_base(path: Path) -> Base:
    """Give an imported tower and the ``tower.json`` beside it.

    Raises:
        CheckpointError: one of the files is missing, or they do not fit.
    """
    state, config = load_state(path), load_tower_config(path.with_name("tower.json"))
    if not isinstance(config, TowerConfig):
        raise CheckpointError(
            f"{path}: {config.description}; expected a VisionTransformer of open_clip, for no "
            "other tower is a base needed or an adapter known"
        )
    check_tower(state, config)
    return Base(state, config, sha256(path))


def read_foreign(path: Path, base: Base | None) -> Foreign:
    """Give what is in a file, or in a folder of transformers or PEFT.

    Raises:
        CheckpointError: it cannot be read, or it is no image tower and no head.
    """
    if not path.is_dir():
        return _from_file(path)
    if (path / ADAPTER_CONFIG).exists():
        return _from_adapter(path, base)
    if (path / CONFIG).exists():
        return _from_hugging_face(path, base)
    raise CheckpointError(
        f"{path}: a folder without {CONFIG} or {ADAPTER_CONFIG}; expected a checkpoint file, or a "
        "folder of transformers or PEFT"
    )


def _from_file(path: Path) -> Foreign:
    pickled = None if _is_safetensors(path) else read_pickled(path)
    source: Mapping[str, Any] = stored_tensors(pickled.root) if pickled else load_state(path)
    found = (_MARK.fullmatch(name) for name in source)
    prefixes = list(dict.fromkeys(match.group(1) for match in found if match))
    head = next((name for name in _HEADS if {f"{name}weight", f"{name}bias"} <= set(source)), None)
    if len(prefixes) > 1 or (not prefixes and head is None):
        raise CheckpointError(
            f"{path}: {len(prefixes)} towers ({', '.join(prefixes) or 'no ' + _TRANSFORMER}) among "
            f"{len(source)} tensors ({', '.join(list(source)[:3])}, ...); expected one open_clip "
            "image tower or a classification head with weight and bias"
        )
    if any(prefix.endswith("embeddings.") for prefix in prefixes):
        raise CheckpointError(
            f"{path}: a file of Hugging Face's transformers; import the folder that has its "
            f"{CONFIG} as well"
        )
    kind = "pickled module" if pickled and not isinstance(pickled.root, Mapping) else "state dict"
    tower, text, facts = None, None, Facts()
    if prefixes:
        text = _text_tower(source, prefixes[0], pickled) if pickled else None
        tower = _numbers(source, prefixes[0], pickled)
        facts = module_facts(pickled.root, prefixes[0]) if pickled else facts
    return Foreign(
        kind=kind,
        digest=sha256(path),
        tower=tower,
        config=tower_from_shapes(tower, facts) if tower and _TRANSFORMER in tower else None,
        facts=facts,
        head=None if head is None else _head(source, head, pickled),
        text=text,
        assumed=untold(facts),
    )


def _is_safetensors(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(9)[8:] == b"{"
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error


def _numbers(source: Mapping[str, Any], prefix: str, pickled: Pickled | None) -> StateDict:
    """Give the tensors below a prefix, in float32 and without it; counters are left out."""
    chosen = {
        name: value
        for name, value in source.items()
        if name.startswith(prefix) and not name.endswith(".num_batches_tracked")
    }
    state: StateDict = {
        name.removeprefix(prefix): pickled.read(value) if pickled else value
        for name, value in chosen.items()
    }
    check_numbers(state)
    return {name: tensor.float() for name, tensor in state.items()}


def _text_tower(source: Mapping[str, Any], prefix: str, pickled: Pickled) -> StateDict | None:
    """Give the text tower beside an image tower; None if there is none, or not all of it.

    A state dict in safetensors needs none: heads are made from it as it is.
    """
    outer = prefix.removesuffix("visual.")
    inner = {name.removeprefix(outer): name for name in source if name.startswith(outer)}
    own = {name: whole for name, whole in inner.items() if name.startswith(_TEXT)}
    ends = ("token_embedding.weight", "transformer.resblocks.0.ln_1.weight", "logit_scale")
    if outer == prefix or not all(any(name.endswith(end) for name in own) for end in ends):
        return None
    weights = {whole: source[whole] for whole in own.values() if not whole.endswith("attn_mask")}
    return _numbers(weights, outer, pickled)


def _head(source: Mapping[str, Any], prefix: str, pickled: Pickled | None) -> StateDict:
    if pickled and normalises(pickled.root, prefix) is False:
        raise CheckpointError(
            "a head with normalize=False; expected True: distmerge's heads take normalised features"
        )
    own = {f"{prefix}{part}": source[f"{prefix}{part}"] for part in ("weight", "bias")}
    state = _numbers(own, prefix, pickled)
    weight, bias = state["weight"], state["bias"]
    if weight.ndim != 2 or bias.shape != weight.shape[:1]:
        raise CheckpointError(
            f"a head with weight {tuple(weight.shape)} and bias {tuple(bias.shape)}; expected "
            "(classes, features) and (classes,)"
        )
    return {**state, "center": torch.zeros(weight.shape[1])}


def _from_hugging_face(folder: Path, base: Base | None) -> Foreign:
    path, settings = _weights(folder, WEIGHTS), _json(folder / CONFIG)
    tensors = _all_tensors(path)
    if settings.get("model_type") in TEXT_KINDS:
        return _from_text_model(folder, path, tensors, settings)
    there = (folder / PREPROCESSOR).exists()
    preprocessor = _json(folder / PREPROCESSOR) if there else None
    state, config = from_hugging_face(tensors, settings, preprocessor)
    check_numbers(state)
    if base is not None and not config.projection and base.config.projection:
        # A vision model that was fine-tuned without its projection keeps the base's.
        state["proj"] = base.state["proj"]
        config = config.model_copy(
            update={"projection": True, "output_dim": base.config.output_dim}
        )
        check_tower(state, config)
    return Foreign(
        kind="transformers folder",
        digest=sha256(path),
        tower={name: tensor.float() for name, tensor in state.items()},
        config=config,
        assumed=() if there else WAYS,
        settings=digest([settings, preprocessor]),
    )


def _from_text_model(
    folder: Path, path: Path, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]
) -> Foreign:
    names = (POOLING, DENSE, *LENGTHS)
    beside = {name: _json(folder / name) for name in names if (folder / name).exists()}
    found = from_text_model(tensors, settings, beside)
    check_numbers(found.tower | (found.head or {}))
    tokenizer = folder / TOKENIZER
    return Foreign(
        kind="transformers folder",
        digest=sha256(path),
        tower={name: tensor.float() for name, tensor in found.tower.items()},
        config=found.config,
        head=found.head,
        settings=digest([settings, beside]),
        linear=True,
        beside={TOKENIZER: tokenizer.read_bytes()} if tokenizer.exists() else {},
    )


def _from_adapter(folder: Path, base: Base | None) -> Foreign:
    if base is None:
        raise CheckpointError(
            f"{folder}: a PEFT adapter; name the imported tower it was trained on: --base "
            "TOWER.safetensors"
        )
    path = _weights(folder, ADAPTER_WEIGHTS)
    adapter = _all_tensors(path)
    check_numbers(adapter)
    settings = _json(folder / ADAPTER_CONFIG)
    return Foreign(
        kind="PEFT adapter",
        digest=sha256(path),
        tower=merge_adapter(base.state, base.config, adapter, settings),
        config=base.config,
        settings=digest([settings]),
    )


def _weights(folder: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise CheckpointError(
        f"{folder}: no {' and no '.join(names)}; weights in several files are not supported, save "
        "them in one (save_pretrained with a larger max_shard_size)"
    )


def _all_tensors(path: Path) -> dict[str, Tensor]:
    if _is_safetensors(path):
        return load_state(path)
    pickled = read_pickled(path)
    return {name: pickled.read(stored) for name, stored in stored_tensors(pickled.root).items()}


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not readable JSON ({error})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: got {type(content).__name__}; expected a JSON object")
    return content
