import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    MPNetConfig,
    MPNetModel,
    RobertaConfig,
    RobertaForSequenceClassification,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

from distmerge.errors import CheckpointError
from distmerge.models import (
    Tower,
    import_checkpoint,
    load_head,
    load_metadata,
    load_state,
    save_state,
)
from distmerge.models.foreign.text import POOLING, same_tokenizer, text_model_files
from distmerge.spec import TextTower, load_tower_config
from tests.texts import save_tokenizer

SIZES: dict[str, Any] = {
    "vocab_size": 34,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 20,
    "type_vocab_size": 2,
    "num_labels": 3,
}
ENCODERS = [(BertModel, BertConfig), (RobertaModel, RobertaConfig), (MPNetModel, MPNetConfig)]
CLASSIFIERS = [
    (BertForSequenceClassification, BertConfig),
    (RobertaForSequenceClassification, RobertaConfig),
    (XLMRobertaForSequenceClassification, XLMRobertaConfig),
]


def saved(folder: Path, kind: Any, config: Any, **settings: object) -> Any:
    """Give transformers' own model, its weights at random and large enough to matter."""
    model = kind(config(**{**SIZES, **settings})).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return model


def texts_of(padding: int) -> torch.Tensor:
    """Give token numbers of three texts of different lengths."""
    tokens = torch.randint(4, 34, (3, 9), generator=torch.Generator().manual_seed(0))
    tokens[0, 5:] = tokens[1, 8:] = padding
    return tokens


def imported(folder: Path, out: Path) -> tuple[Tower, TextTower, dict[str, torch.Tensor]]:
    files = import_checkpoint(str(folder), out, name="x").files
    config = load_tower_config(out / "tower.json")
    assert isinstance(config, TextTower)
    return Tower(config), config, load_state(files[0])


@pytest.mark.parametrize(("kind", "config"), ENCODERS)
@pytest.mark.parametrize("pooling", ["mean", "cls", None])
def test_an_encoder_gives_the_same_features(
    kind: Any, config: Any, pooling: str | None, tmp_path: Path
) -> None:
    model = saved(tmp_path / "theirs", kind, config)
    if pooling:
        (tmp_path / "theirs" / POOLING).parent.mkdir()
        modes = {
            f"pooling_mode_{mode}": mode.startswith(pooling)
            for mode in ("mean_tokens", "cls_token")
        }
        (tmp_path / "theirs" / POOLING).write_text(json.dumps(modes))
    tower, described, state = imported(tmp_path / "theirs", tmp_path / "ours")
    tokens = texts_of(described.preprocess.padding)
    attended = (tokens != described.preprocess.padding).long()
    with torch.no_grad():
        out = model(input_ids=tokens, attention_mask=attended)
    expected = out.pooler_output
    if pooling == "cls":
        expected = out.last_hidden_state[:, 0]
    elif pooling == "mean":
        weighted = out.last_hidden_state * attended[..., None]
        expected = weighted.sum(dim=1) / attended.sum(dim=1, keepdim=True)
    torch.testing.assert_close(tower.features(state, tokens), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("kind", "config"), CLASSIFIERS)
def test_a_classifier_gives_the_same_logits(kind: Any, config: Any, tmp_path: Path) -> None:
    model = saved(tmp_path / "theirs", kind, config)
    tower, described, state = imported(tmp_path / "theirs", tmp_path / "ours")
    head = load_head(tmp_path / "ours" / "x.head.safetensors", num_classes=3, feature_dim=16)
    tokens = texts_of(described.preprocess.padding)
    with torch.no_grad():
        attended = tokens != described.preprocess.padding
        expected = model(input_ids=tokens, attention_mask=attended.long()).logits
    torch.testing.assert_close(head(tower.features(state, tokens)), expected, rtol=0, atol=1e-5)
    assert (described.pooling, head.normalised) == ("pooler", False)


def test_a_classifier_and_its_base_are_of_one_tower(tmp_path: Path) -> None:
    saved(tmp_path / "base", BertModel, BertConfig)
    saved(tmp_path / "tuned", BertForSequenceClassification, BertConfig)
    import_checkpoint(str(tmp_path / "base"), tmp_path / "ours")
    summary = import_checkpoint(str(tmp_path / "tuned"), tmp_path / "ours").summary
    assert "bert-2x16, features of 16, pooling pooler" in summary
    assert summary.endswith("a head of 3 classes")
    metadata = load_metadata(tmp_path / "ours" / "tuned.safetensors")
    assert (metadata["source"], metadata["kind"]) == ("tuned", "transformers folder")


def test_the_shortest_length_that_anyone_names_is_the_towers(tmp_path: Path) -> None:
    saved(tmp_path / "x", RobertaModel, RobertaConfig)
    assert imported(tmp_path / "x", tmp_path / "one")[1].preprocess.length == 18
    (tmp_path / "x" / "tokenizer_config.json").write_text('{"model_max_length": 12}')
    assert imported(tmp_path / "x", tmp_path / "two")[1].preprocess.length == 12


def test_a_folder_without_a_tokenizer_is_told_how_to_get_one(tmp_path: Path) -> None:
    saved(tmp_path / "x", BertModel, BertConfig)
    (tmp_path / "x" / "tokenizer.json").unlink()
    with pytest.raises(
        CheckpointError, match=r"no tokenizer\.json; AutoTokenizer\.from_pretrained"
    ):
        import_checkpoint(str(tmp_path / "x"), tmp_path / "ours")


def test_another_tokenizer_than_the_bases_is_refused(tmp_path: Path) -> None:
    for name in ("base", "tuned"):
        saved(tmp_path / name, BertModel, BertConfig)
    import_checkpoint(str(tmp_path / "base"), tmp_path / "ours")
    path = tmp_path / "tuned" / "tokenizer.json"
    path.write_text(path.read_text().replace("word29", "other"))
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: gives other tokens than"):
        import_checkpoint(str(tmp_path / "tuned"), tmp_path / "ours")
    assert not (tmp_path / "ours" / "tuned.safetensors").exists()


def test_tokenizers_that_differ_only_in_length_are_the_same() -> None:
    assert same_tokenizer(b'{"truncation": null, "padding": 1, "a": 1}', b'{"a": 1}')


def test_missing_and_unknown_tensors_are_listed(tmp_path: Path) -> None:
    saved(tmp_path / "x", BertModel, BertConfig)
    path = tmp_path / "x" / "model.safetensors"
    state = load_state(path)
    state["extra"] = state.pop("embeddings.LayerNorm.weight")
    save_state(path, state)
    with pytest.raises(CheckpointError) as caught:  # both lines are looked at
        import_checkpoint(str(tmp_path / "x"), tmp_path / "ours")
    assert "- embeddings.LayerNorm.weight: missing" in str(caught.value)
    assert "- extra: not a tensor of this tower" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("2_Dense/config.json", {}, "a layer after the pooling"),
        (POOLING, {"pooling_mode_max_tokens": True}, "pooling_mode_max_tokens; expected one of"),
    ],
)
def test_what_sentence_transformers_adds_and_a_tower_has_not_is_refused(
    name: str, content: dict[str, object], problem: str, tmp_path: Path
) -> None:
    saved(tmp_path / "x", BertModel, BertConfig)
    (tmp_path / "x" / name).parent.mkdir()
    (tmp_path / "x" / name).write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=problem):
        import_checkpoint(str(tmp_path / "x"), tmp_path / "ours")


def test_the_oldest_names_and_other_heads_are_understood(tmp_path: Path) -> None:
    saved(tmp_path / "x", BertModel, BertConfig)
    path = tmp_path / "x" / "model.safetensors"
    state = load_state(path)
    old = {f"bert.{n}".replace("LayerNorm.weight", "LayerNorm.gamma"): t for n, t in state.items()}
    save_state(path, {**old, "cls.predictions.bias": torch.zeros(34)})
    assert imported(tmp_path / "x", tmp_path / "ours")[2].keys() == state.keys()


def test_the_way_back_names_the_class_and_the_pooling(tmp_path: Path) -> None:
    saved(tmp_path / "x", MPNetModel, MPNetConfig)
    config = imported(tmp_path / "x", tmp_path / "ours")[1].model_copy(update={"pooling": "first"})
    files = text_model_files(config)
    assert files["config.json"]["architectures"] == ["MPNetModel"]
    assert files[POOLING]["pooling_mode_cls_token"] is True


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"hidden_size": "abc"}, "config.json describes no roberta encoder .*hidden_size"),
        ({"hidden_size": None}, "word_embeddings.weight"),
        ({"max_position_embeddings": 1}, "max_position_embeddings 1: holds no text"),
    ],
)
def test_a_configuration_that_describes_no_encoder_is_refused(
    change: dict[str, object], problem: str, tmp_path: Path
) -> None:
    saved(tmp_path / "hf", RobertaModel, RobertaConfig)
    path = tmp_path / "hf" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=rf"(?s){problem}"):
        import_checkpoint(str(tmp_path / "hf"), tmp_path / "out")
