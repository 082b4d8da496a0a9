"""The text tower of an open_clip model, from its configuration and a safetensors file."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.func import functional_call

from distmerge.errors import CheckpointError, problem_list
from distmerge.models.headers import CheckpointFile, header_problems
from distmerge.models.seeding import initialised

BATCH = 256
"""Texts per forward pass."""
_MARK, _SCALE, _PREFIX = "token_embedding.weight", "logit_scale", "text."


class ClipText:
    """A CLIP text tower with its weights and its tokenizer, in float32 on the CPU."""

    def __init__(self, path: Path, model: str) -> None:
        """Read the weights.

        Args:
            path: safetensors of the whole open_clip model, or of its text tower and
                ``logit_scale``.
            model: open_clip's name of the model, or a JSON file like its configurations.

        Raises:
            CheckpointError: the configuration is unknown or not readable without a download, or
                lists every tensor that is missing, extra or misshaped.
        """
        from open_clip.tokenizer import SimpleTokenizer

        config = model_config(model)
        text = config["text_cfg"]
        file = CheckpointFile(path)
        self._tower = _tower(config, model)
        prefix = _prefix(file)
        shapes = {
            f"{prefix}{name}": value.shape for name, value in self._tower.state_dict().items()
        }
        problems = list(_tensor_problems(file, prefix, shapes))
        if problems:
            raise CheckpointError(problem_list(f"{path}: not the text tower of {model}", problems))
        state = {name: file[f"{prefix}{name}"].float() for name in self._tower.state_dict()}
        self._tower.load_state_dict(state)
        self._tokenizer = SimpleTokenizer(
            context_length=text.get("context_length", 77), **text.get("tokenizer_kwargs", {})
        )
        self.scale = file[_SCALE].float().exp().reshape(())
        """``exp(logit_scale)``, the factor of cosine similarities."""

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> Float[Tensor, "text feature"]:
        """Give the embeddings of texts, not normalised."""
        tokens = self._tokenizer(list(texts))
        return torch.cat([self._embedded(part) for part in tokens.split(BATCH)])

    def _embedded(self, tokens: Int64[Tensor, "text token"]) -> Float[Tensor, "text feature"]:
        """Give embeddings without reading the padding, if the tower never looks beyond the end."""
        tower, mask = self._tower, {}
        if tower.attn_mask is not None and tower.cls_emb is None and tower.pool_type == "argmax":
            longest = int(tokens.argmax(dim=-1).max()) + 1  # the end has the largest number
            tokens, mask = tokens[:, :longest], {"attn_mask": tower.attn_mask[:longest, :longest]}
        embeddings: Tensor = functional_call(tower, mask, (tokens,))
        return embeddings


def text_problems(path: Path, model: str, feature_dim: int) -> Iterator[str]:
    """Yield what does not fit by header and configuration alone; open_clip is not imported.

    Args:
        path: safetensors with a text tower.
        model: as of ``ClipText``.
        feature_dim: width of the features that its embeddings are compared with.
    """
    config: dict[str, Any] = {}
    try:
        config = text_config(model)
    except CheckpointError as error:
        yield str(error)
    width = config.get("embed_dim", feature_dim)
    if width != feature_dim:
        yield (
            f"model {model}: embeds texts in {width} dimensions, the tower images in {feature_dim}"
        )
    try:
        file = CheckpointFile(path)
        misfits = list(_misfits(file, _prefix(file), config.get("text_cfg", {})))
    except CheckpointError as error:
        yield str(error)
    else:
        yield from (f"{path}: {misfit}" for misfit in misfits)


def model_config(model: str) -> dict[str, Any]:
    """Give the configuration of an open_clip model whose text tower needs nothing else.

    Raises:
        CheckpointError: there is none, or its tokenizer or tower would be downloaded, or it has
            keys that open_clip does not know.
    """
    from open_clip import CLIPTextCfg

    config = text_config(model)
    unknown = config["text_cfg"].keys() - {field.name for field in fields(CLIPTextCfg)}
    if unknown:
        raise CheckpointError(f"model {model}: text_cfg: unknown keys {', '.join(sorted(unknown))}")
    return config


def text_config(model: str) -> dict[str, Any]:
    """Give the same from the file of the configuration, whose keys may be unknown.

    Raises:
        CheckpointError: there is none, or its tokenizer or tower would be downloaded.
    """
    config = _config_file(Path(model) if model.endswith(".json") else _named_file(model))
    if any(config["text_cfg"].get(key) for key in ("hf_model_name", "hf_tokenizer_name")):
        raise CheckpointError(
            f"model {model}: its tokenizer comes from Hugging Face, and nothing is downloaded; "
            "give the head as a file"
        )
    return config


def _named_file(model: str) -> Path:
    """Give the file of a configuration that open_clip has under a name.

    Raises:
        CheckpointError: it has none.
    """
    package = find_spec("open_clip")  # importing it takes seconds
    assert package is not None
    assert package.origin is not None
    for path in (Path(package.origin).parent / "model_configs").glob("*.json"):
        if path.stem == model:
            return path
    raise CheckpointError(
        f"model {model}: open_clip has none of this name; open_clip.list_models() lists them, "
        "or give a JSON file like its model configurations"
    )


def _config_file(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        config: dict[str, Any] = content.get("model_cfg", content)
        text, width = dict(config["text_cfg"]), int(config["embed_dim"])
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise CheckpointError(
            f"model {path}: expected JSON with embed_dim and text_cfg, as open_clip's model "
            f"configurations ({error!r})"
        ) from error
    return {**config, "text_cfg": text, "embed_dim": width}


def _misfits(file: CheckpointFile, prefix: str, text: dict[str, Any]) -> Iterator[str]:
    """Yield where a text tower is not of a configuration, by a few of its tensors."""
    blocks, embedding = f"{prefix}transformer.resblocks.", file.tensors[prefix + _MARK].shape
    numbers = {n.removeprefix(blocks).split(".")[0] for n in file if n.startswith(blocks)}
    found = {"vocab_size": embedding[0], "width": embedding[-1], "layers": len(numbers)}
    for key, value in found.items():
        if not value or text.get(key, value) != value:
            yield f"text_cfg.{key}: the file has {value}, expected {text.get(key, 'more')}"
    if _SCALE not in file:
        yield f"{_SCALE}: missing"


def _tower(config: dict[str, Any], model: str) -> Any:
    from open_clip.model import _build_text_tower

    text = {**config["text_cfg"], "output_tokens": False}
    build = partial(
        _build_text_tower, config["embed_dim"], text, quick_gelu=config.get("quick_gelu", False)
    )
    tower: nn.Module = initialised(build, "text", model)
    return tower.eval().requires_grad_(False)


def _prefix(file: CheckpointFile) -> str:
    """Give what the names of the text tower's tensors begin with.

    Raises:
        CheckpointError: there are none.
    """
    for prefix in (_PREFIX, ""):
        if prefix + _MARK in file:
            return prefix
    raise CheckpointError(
        f"{file.path}: holds no text tower ({_MARK}); give the file of the whole open_clip model"
    )


def _tensor_problems(
    file: CheckpointFile, prefix: str, shapes: dict[str, torch.Size]
) -> Iterator[str]:
    """Yield what does not fit; the image tower's tensors and others beside do not matter."""
    scale = file.tensors.get(_SCALE)
    single = scale is not None and scale.shape == (1,)
    expected = {**shapes, _SCALE: (1,) if single else ()}
    beside = ("visual.", "logit_bias")
    for problem in header_problems(file, expected, "the text tower"):
        if problem.startswith((prefix, _SCALE)) and not problem.startswith(beside):
            yield problem
