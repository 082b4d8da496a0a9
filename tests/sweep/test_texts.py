"""Sweeps of text encoders: nothing in methods, coordinator or results is about images."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import distmerge
from distmerge.cli import main
from distmerge.errors import ConfigError, DataError
from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.spec import ModelFiles
from distmerge.sweep import export_run, run_sweep
from tests.sweep.studies import console, rows_of, study_of
from tests.texts import WORDS, build_text_world

_SURGERY = {"surgery.steps": 5, "surgery.rank": 4}
_FEW = {"steps": 3, "batch_size": 8}


def few(method: str) -> dict[str, Any]:
    return {f"{method}.{name}": value for name, value in _FEW.items()}


PIPELINES: list[dict[str, Any]] = [
    {"stages": ["weight_averaging"]},
    {"stages": ["task_arithmetic"]},
    {"stages": ["ties"]},
    {"stages": ["adamerging"], "settings": few("adamerging")},
    {"stages": ["adamerging_pp"], "settings": few("adamerging_pp")},
    {"stages": ["task_arithmetic", "surgery"], "settings": _SURGERY},
    {"stages": ["tinting"], "settings": {"tinting.steps": 2}},
]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    return build_text_world(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def storage(texts: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of every method that a text tower allows, run in this process."""
    folder = tmp_path_factory.mktemp("swept") / "results"
    run_sweep(study_of(texts, folder, ray=False, pipelines=PIPELINES), console())
    return folder


@pytest.fixture(scope="module")
def folder(storage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported run, as transformers reads it too."""
    rows = RunStore(str(storage), HYPERS).finished("tiny")
    run = rows[rows["method"] == "task_arithmetic+surgery"]["run_id"].iloc[0]
    place = tmp_path_factory.mktemp("exported") / "model"
    return export_run(run, str(storage), to=place, hugging_face=True)


def report_accuracy(storage: Path) -> "pd.Series[float]":
    rows = RunStore(str(storage), HYPERS).finished("tiny")
    clean = rows[(rows["metric"] == "accuracy") & (rows["suite"] == "clean")]
    return clean.groupby("method")["value"].mean()


def test_every_method_that_a_text_tower_allows_is_swept(storage: Path) -> None:
    accuracy = report_accuracy(storage)
    names = {"+".join(pipeline["stages"]) for pipeline in PIPELINES}
    assert names <= set(accuracy.index)
    assert accuracy["individual"] > accuracy["weight_averaging"] > accuracy["pretrained"]


@pytest.mark.ray
def test_ray_gives_the_same_rows(
    texts: ModelFiles, storage: Path, ray_local: None, tmp_path: Path
) -> None:
    chosen = PIPELINES[3:6:2]
    study = study_of(texts, tmp_path / "results", pipelines=chosen)
    run_sweep(study, console())
    found = rows_of(study)
    alone = rows_of(study_of(texts, storage, pipelines=PIPELINES))
    methods = found["method"].unique()
    expected = alone[alone["method"].isin(methods)].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected)


def test_a_method_for_image_tokens_and_corruptions_are_refused(
    texts: ModelFiles, tmp_path: Path
) -> None:
    pipelines = [{"stages": ["bd_merging"]}]
    study = study_of(texts, tmp_path, ray=False, pipelines=pipelines, levels=["L1"])
    with pytest.raises(
        ConfigError, match=r"(?s)bd_merging: got bert-2x16; expected.*levels: corruptions are made"
    ):
        run_sweep(study, console())


def test_a_missing_tokenizer_is_named_with_what_writes_one(tmp_path: Path) -> None:
    files = build_text_world(tmp_path / "world")
    (tmp_path / "world" / "tokenizer.json").unlink()
    study = study_of(files, tmp_path / "results", ray=False)
    with pytest.raises(DataError, match=r"tokenizer\.json: cannot read .*save_pretrained"):
        run_sweep(study, console())


def test_the_exported_model_reads_texts(folder: Path) -> None:
    model = distmerge.load(folder)
    answers = model.predict([" ".join(WORDS[:4]), WORDS[5]], task="beta")
    assert {answer.label for answer in answers} <= set(model.classes["beta"])
    assert model.features(WORDS[0]).shape == (1, 16)


def test_texts_of_another_length_beside_it_change_no_answer(folder: Path) -> None:
    model = distmerge.load(folder)
    short, long = WORDS[0], " ".join(WORDS[:8])
    torch.testing.assert_close(model.features([short, long])[:1], model.features(short))


def test_what_is_no_text_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"1 of 2 texts cannot be read:\n.*got PosixPath, expected"):
        distmerge.load(folder).predict(["a", Path("a.png")], task="beta")


def test_the_command_predicts_texts_and_the_lines_of_a_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts").write_text("word1 word2\n\nword3 [bold]\n")
    command = ["predict", str(folder), "word0", f"@{tmp_path / 'texts'}", "--task", "beta"]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["text"] for row in found] == ["word0", "word1 word2", "word3 [bold]"]
    assert main(command) == 0
    assert "word3 [bold]" in capsys.readouterr().out


def test_the_hugging_face_folder_gives_the_same_features(folder: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    place = folder / "hugging_face"
    encoder, tokenizer = AutoModel.from_pretrained(place), AutoTokenizer.from_pretrained(place)
    text = " ".join(WORDS[:12])
    tokens = tokenizer(text, truncation=True, max_length=10, return_tensors="pt")
    assert tokens["input_ids"].shape == (1, 10)
    with torch.no_grad():
        out = encoder.eval()(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
    expected = distmerge.load(folder).features(text)
    torch.testing.assert_close(out.last_hidden_state.mean(dim=1), expected, rtol=0, atol=1e-6)


def test_the_cards_example_gives_the_features_in_plain_transformers(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    code = card.split("```python\n")[2].split("```")[0]
    names: dict[str, Any] = {}
    for name in ("model.safetensors", "tokenizer.json"):
        code = code.replace(f'"{name}"', repr(str(folder / name)))
    exec(code, names)
    expected = distmerge.load(folder).features("a text")
    torch.testing.assert_close(names["features"], expected, rtol=0, atol=1e-6)
    assert "report images" not in card
    assert "open_clip" not in card


def test_the_merged_tower_is_what_transformers_names(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    assert "embeddings.word_embeddings.weight" in state
