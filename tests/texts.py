"""A tiny real world of texts: a BERT, its tokenizer, and models fine-tuned from it."""

import json
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from distmerge.models import Head, StateDict, Tower, address_seed, save_head, save_state
from distmerge.spec import ModelFiles, RoleData, TaskFiles, TextTower, Tokens
from distmerge.tasks import ROLES, Decoding, model_input
from tests.world import NUM_IMAGES, TASK_NAMES, random_weights

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WORDS = tuple(f"word{number}" for number in range(30))
TEXT_TOWER = TextTower(
    transformers={
        "model_type": "bert",
        "vocab_size": len(SPECIAL) + len(WORDS),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "hidden_act": "gelu",
        "max_position_embeddings": 16,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    },
    pooling="mean",
    preprocess=Tokens(length=10, padding=0, tokenizer="tokenizer.json"),
)
_STEPS, _LR = 30, 0.005


def save_tokenizer(folder: Path) -> Path:
    """Write a tokenizer of whole words that puts [CLS] before and [SEP] behind a text."""
    numbers = {word: number for number, word in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(WordLevel(numbers, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    ends = [("[CLS]", numbers["[CLS]"]), ("[SEP]", numbers["[SEP]"])]
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def build_text_world(folder: Path) -> ModelFiles:
    """Write three tasks of texts: the data of the first are arrays, those of the others files."""
    save_tokenizer(folder)
    (folder / "tower.json").write_text(TEXT_TOWER.model_dump_json())
    tower = Tower(TEXT_TOWER)
    base = random_weights(tower, seed=0)
    save_state(folder / "base.safetensors", base)
    tasks = tuple(_task(folder, name, 3, tower, base) for name in TASK_NAMES[:3])
    return ModelFiles(tower=folder / "tower.json", base=folder / "base.safetensors", tasks=tasks)


def _task(folder: Path, name: str, num_classes: int, tower: Tower, base: StateDict) -> TaskFiles:
    made = Decoding(TEXT_TOWER.preprocess, Path(), folder).rows().made
    data = folder / name
    data.mkdir()
    (data / "classes.json").write_text(json.dumps([f"{name} {c}" for c in range(num_classes)]))
    head = _head(num_classes, address_seed(0, name, "head"))
    save_head(folder / f"{name}.head.safetensors", head)
    generator = np.random.default_rng(address_seed(0, name, "texts"))
    words = generator.permutation(WORDS)
    for role in ROLES:
        labels = np.arange(NUM_IMAGES[role]) % num_classes
        texts = [_text(words, int(c), number, generator) for number, c in enumerate(labels)]
        tokens = np.stack([made(text) for text in texts])
        if role == "adapt":
            tuned = _fine_tuned(tower, base, head, tokens, labels)
            save_state(folder / f"{name}.safetensors", tuned)
        if name == TASK_NAMES[0]:
            np.save(data / f"{role}.tokens.npy", tokens)
            np.save(data / f"{role}.labels.npy", labels)
        rows = [{"text": t, "label": int(n)} for t, n in zip(texts, labels, strict=True)]
        (data / f"{role}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    files = {role: str(data / f"{role}.jsonl") for role in ROLES}
    return TaskFiles(
        name=name,
        checkpoint=folder / f"{name}.safetensors",
        head=folder / f"{name}.head.safetensors",
        data=data
        if name == TASK_NAMES[0]
        else RoleData(**files, classes=str(data / "classes.json"), shared="drop"),
    )


def _text(words: np.ndarray, label: int, number: int, generator: np.random.Generator) -> str:
    """Give words of a class among others; no two texts are the same."""
    own = generator.choice(words[label * 4 : label * 4 + 4], 4)
    return " ".join([*own, *generator.choice(words[12:], 3), WORDS[number % len(WORDS)]])


def _head(num_classes: int, seed: int) -> Head:
    generator = torch.Generator().manual_seed(seed)
    width = TEXT_TOWER.output_dim
    weight = 10 * normalize(torch.randn(num_classes, width, generator=generator), dim=-1)
    return Head(weight, torch.zeros(num_classes), torch.zeros(width))


def _fine_tuned(
    tower: Tower, base: StateDict, head: Head, tokens: np.ndarray, labels: np.ndarray
) -> StateDict:
    weights: dict[str, Tensor] = {name: t.clone().requires_grad_() for name, t in base.items()}
    optimizer = torch.optim.Adam(weights.values(), lr=_LR)
    inputs = model_input(tokens, TEXT_TOWER.preprocess)
    for _ in range(_STEPS):
        optimizer.zero_grad()
        logits = head(tower.features(weights, inputs))
        cross_entropy(logits, torch.from_numpy(labels)).backward()
        optimizer.step()
    return {name: tensor.detach() for name, tensor in weights.items()}
