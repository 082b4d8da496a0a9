"""Text encoders of Hugging Face's transformers, in both directions."""

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from distmerge.errors import CheckpointError, problem_list
from distmerge.models.shapes import tower_shapes
from distmerge.models.state import StateDict
from distmerge.spec import TextTower, Tokens

TOKENIZER = "tokenizer.json"
POOLING = "1_Pooling/config.json"
DENSE = "2_Dense/config.json"
LENGTHS = ("sentence_bert_config.json", "tokenizer_config.json")
_PREFIXES = {
    "bert": "bert.",
    "roberta": "roberta.",
    "xlm-roberta": "roberta.",
    "camembert": "roberta.",
    "mpnet": "mpnet.",
}
TEXT_KINDS = tuple(_PREFIXES)
_SHAPING = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "max_position_embeddings",
    "type_vocab_size",
    "layer_norm_eps",
    "pad_token_id",
    "relative_attention_num_buckets",
)
_OTHER_HEADS = ("cls.", "lm_head.", "dropout.")
_BUFFERS = ("position_ids", "token_type_ids")
_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
_DENSE = {f"classifier.dense.{part}": f"pooler.dense.{part}" for part in ("weight", "bias")}
_POOLINGS: Mapping[str, Literal["mean", "first"]] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "first",
}


class ForeignText(NamedTuple):
    """A text encoder, and the classification head that came with it."""

    tower: StateDict
    config: TextTower
    head: StateDict | None


def from_text_model(
    state: Mapping[str, Tensor],
    settings: Mapping[str, Any],
    beside: Mapping[str, Mapping[str, Any]],
) -> ForeignText:
    """Give the tower of a ``BertModel``, ``RobertaModel`` or ``MPNetModel``, and its head.

    Of ``...ForSequenceClassification`` it is the encoder with pooler and a linear head: RoBERTa's
    ``tanh(dense(first token))`` is what BERT's pooler computes.

    Args:
        state: all tensors; heads for other purposes are left out.
        settings: ``config.json``.
        beside: content of ``POOLING``, ``DENSE`` and ``LENGTHS``, of those that are there.

    Raises:
        CheckpointError: another architecture, or tensors are missing or unknown.
    """
    if DENSE in beside:
        raise CheckpointError(
            f"{DENSE}: a layer after the pooling, which a text tower has not; expected "
            "sentence-transformers' Transformer and Pooling alone"
        )
    inner = _inner(state, _PREFIXES[settings["model_type"]])
    head = _head(inner)
    inner = {name: tensor for name, tensor in inner.items() if not name.startswith("classifier.")}
    pooling = _pooling(beside.get(POOLING), classifies=head is not None, inner=inner)
    if pooling != "pooler":
        inner = {name: tensor for name, tensor in inner.items() if not name.startswith("pooler.")}
    config = _config(settings, pooling, beside)
    shapes = tower_shapes(config)
    problems = [f"{name}: missing" for name in sorted(shapes.keys() - inner.keys())]
    problems += [f"{n}: not a tensor of this tower" for n in sorted(inner.keys() - shapes.keys())]
    if problems:
        raise CheckpointError(problem_list(f"not a {config.backbone} encoder", problems))
    return ForeignText({name: inner[name] for name in shapes}, config, head)


def same_tokenizer(one: bytes, other: bytes) -> bool:
    """Whether two files of tokenizers give the same tokens; lengths are the tower's to say."""
    rules = [json.loads(content) for content in (one, other)]
    for rule in rules:
        rule["truncation"] = rule["padding"] = None
    return bool(rules[0] == rules[1])


def text_model_files(config: TextTower) -> dict[str, dict[str, object]]:
    """Give the JSON files beside the weights of the same encoder in transformers.

    ``POOLING`` is for sentence-transformers and for importing it again.
    """
    from transformers import AutoConfig, AutoModel

    described = dict(config.transformers)
    known = AutoConfig.for_model(described.pop("model_type"), **described)
    kind = AutoModel._model_mapping[type(known)].__name__  # noqa: SLF001  # nothing else tells it
    files: dict[str, dict[str, object]] = {
        "config.json": {"architectures": [kind], **config.transformers},
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": config.preprocess.length,
        },
    }
    if config.pooling != "pooler":
        modes = {mode: name == config.pooling for mode, name in _POOLINGS.items()}
        files[POOLING] = {"word_embedding_dimension": config.output_dim, **modes}
    return files


def _inner(state: Mapping[str, Tensor], prefix: str) -> StateDict:
    """Give the tensors by their names inside the encoder, buffers and other heads left out."""
    named = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    found = {}
    for name, tensor in named.items():
        if name.startswith(_OTHER_HEADS) or name.endswith(_BUFFERS):
            continue
        for old, new in _OLD_NAMES.items():
            name = name.replace(old, new)  # noqa: PLW2901  # weights of the first BERTs
        found[_DENSE.get(name, name)] = tensor
    return found


def _head(inner: Mapping[str, Tensor]) -> StateDict | None:
    for name in ("classifier", "classifier.out_proj"):
        weight, bias = inner.get(f"{name}.weight"), inner.get(f"{name}.bias")
        if weight is not None and bias is not None:
            center = torch.zeros(weight.shape[1])
            return {"weight": weight.float(), "bias": bias.float(), "center": center}
    return None


def _pooling(
    modes: Mapping[str, Any] | None, *, classifies: bool, inner: Mapping[str, Tensor]
) -> Literal["mean", "first", "pooler"]:
    """Give how tokens become a feature: as a head or sentence-transformers says.

    Raises:
        CheckpointError: sentence-transformers pools in a way that a text tower does not.
    """
    if classifies:
        return "pooler"
    if modes is None:
        return "pooler" if "pooler.dense.weight" in inner else "mean"
    chosen = [mode for mode, value in modes.items() if value is True and mode.startswith("pooling")]
    if len(chosen) != 1 or chosen[0] not in _POOLINGS:
        raise CheckpointError(
            f"{POOLING}: {' and '.join(chosen) or 'no pooling'}; expected one of "
            f"{' and '.join(_POOLINGS)}"
        )
    return _POOLINGS[chosen[0]]


def _config(
    settings: Mapping[str, Any],
    pooling: Literal["mean", "first", "pooler"],
    beside: Mapping[str, Mapping[str, Any]],
) -> TextTower:
    try:
        from huggingface_hub.errors import StrictDataclassError
        from transformers import AutoConfig
    except ImportError as error:
        raise CheckpointError(
            "text encoders need transformers: pip install 'distmerge[text]'"
        ) from error
    if settings.get("position_embedding_type", "absolute") != "absolute":
        raise CheckpointError(
            f"position_embedding_type {settings['position_embedding_type']!r}; expected 'absolute'"
        )
    kind = settings["model_type"]
    given = {name: settings[name] for name in _SHAPING if settings.get(name) is not None}
    try:
        known = AutoConfig.for_model(kind, **given).to_dict()  # with what old files leave out
    except (StrictDataclassError, TypeError, ValueError) as error:
        raise CheckpointError(f"config.json describes no {kind} encoder ({error})") from error
    described = {name: known[name] for name in _SHAPING if known.get(name) is not None}
    padding, positions = described.get("pad_token_id", 0), described["max_position_embeddings"]
    # All but BERT number positions from after the padding's.
    lengths = [positions if kind == "bert" else positions - padding - 1]
    told = [file.get(key) for file in beside.values() for key in _LENGTH_KEYS]
    lengths += [length for length in told if isinstance(length, int) and length > 0]
    if min(lengths) < 1:
        raise CheckpointError(f"max_position_embeddings {positions}: holds no text")
    preprocess = Tokens(length=min(lengths), padding=padding, tokenizer=TOKENIZER)
    return TextTower(
        transformers={"model_type": kind, **described}, pooling=pooling, preprocess=preprocess
    )


_LENGTH_KEYS = ("max_seq_length", "model_max_length")
