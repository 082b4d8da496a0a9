import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from distmerge.errors import CheckpointError
from distmerge.spec import (
    AnyTower,
    ModelFiles,
    OpenClipTower,
    Preprocess,
    TextTower,
    Tokens,
    TowerConfig,
    digest,
    load_tower_config,
)
from tests.world import TOWER


def test_a_description_comes_back_as_it_was_written(world: ModelFiles) -> None:
    assert load_tower_config(world.tower) == TOWER


def test_a_missing_description_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"absent.json: cannot read the tower description"):
        load_tower_config(tmp_path / "absent.json")


def test_all_problems_of_a_description_are_listed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "tower.json"
    path.write_text('{"width": 0, "depth": 2}')
    with pytest.raises(CheckpointError, match="not a tower description") as caught:
        load_tower_config(path)
    message = str(caught.value)
    assert "width: Input should be greater than 0" in message
    assert "patch_size: Field required" in message
    assert "depth: Extra inputs are not permitted" in message


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tower.json"
    path.write_text("width = 16")
    with pytest.raises(CheckpointError, match=r"not a tower description:\n.*Invalid JSON"):
        load_tower_config(path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"heads": 3}, "width 16 is not a multiple of 3 heads"),
        ({"projection": False}, "without projection output_dim is the width 16, got 8"),
        ({"image_size": 32}, "preprocess.size 16 is not image_size 32"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        TowerConfig.model_validate({**TOWER.model_dump(), **change})


BERT = {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 2}
TEXT = {"transformers": BERT, "pooling": "mean", "preprocess": {"length": 8, "padding": 0}}
RESNET = {
    "open_clip": {"layers": [1, 1, 1, 1], "width": 8},
    "name": "RN-tiny",
    "output_dim": 16,
    "preprocess": TOWER.preprocess.model_dump(),
}


@pytest.mark.parametrize(
    ("content", "kind", "backbone", "layers"),
    [
        (TOWER.model_dump(), TowerConfig, "vit-2x16/8", (2, 16)),
        (RESNET, OpenClipTower, "RN-tiny", (0, 0)),
        (TEXT, TextTower, "bert-2x16", (2, 16)),
    ],
)
def test_what_a_description_holds_says_which_kind_it_is(
    content: dict[str, object],
    kind: type[AnyTower],
    backbone: str,
    layers: tuple[int, int],
    tmp_path: Path,
) -> None:
    path = tmp_path / "tower.json"
    path.write_text(json.dumps(content))
    found = load_tower_config(path)
    assert isinstance(found, kind)
    assert (found.backbone, found.layer_features, found.output_dim) == (
        backbone,
        layers,
        16 if kind is not TowerConfig else TOWER.output_dim,
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            {**TEXT, "transformers": {"model_type": "bert"}},
            "hidden_size, num_hidden_layers missing",
        ),
        ({**TEXT, "pooling": "max"}, "pooling: Input should be 'mean', 'first' or 'pooler'"),
        ({**RESNET, "output_dim": 0}, "output_dim: Input should be greater than 0"),
    ],
)
def test_problems_speak_of_the_kind_that_was_meant(
    content: dict[str, object], problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "tower.json"
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=problem) as caught:
        load_tower_config(path)
    assert "patch_size" not in str(caught.value)


def test_clips_own_way_to_read_images_is_not_written() -> None:
    """Descriptions of before there were others, and their digests, stay what they were."""
    written = json.loads(TOWER.model_dump_json())
    assert written["preprocess"] == {"size": 16, "mean": [0.5] * 3, "std": [0.25] * 3}
    assert digest(written) == "8dfe77faec317161"


@pytest.mark.parametrize(
    ("ways", "words"),
    [
        ({}, "16 pixels, mean 0.5 0.5 0.5, deviation 0.25 0.25 0.25"),
        ({"resize": "squash", "interpolation": "bilinear"}, "16 pixels, squash, bilinear, mean"),
    ],
)
def test_other_ways_to_read_images_are_written_and_come_back(
    ways: dict[str, str], words: str
) -> None:
    preprocess = Preprocess.model_validate({**TOWER.preprocess.model_dump(), **ways})
    assert preprocess.description.startswith(words)
    assert Preprocess.model_validate_json(preprocess.model_dump_json()) == preprocess
    assert preprocess.model_dump().keys() - {"size", "mean", "std"} == ways.keys()


@pytest.mark.parametrize("name", ["../tokenizer.json", "/tokenizer.json", "a\\b", "..", ""])
def test_a_tokenizer_lies_beside_the_description(name: str) -> None:
    with pytest.raises(ValidationError, match="expected the name of a file that lies beside"):
        Tokens(length=8, padding=0, tokenizer=name)
