import json
import threading
from pathlib import Path

import numpy as np

from distmerge.zoo.folder import (
    TaskFolder,
    ZooFolder,
    read_classes,
    read_pictures,
    sole_builder,
    write_json,
    write_task,
    zoo_folder,
)
from distmerge.zoo.images import ROLES, Role
from distmerge.zoo.pictures import Pictures
from tests.zoo.toys import RECIPE


def ignore(line: str) -> None:
    """Take no notice of a line of progress."""


def pictures(seed: int) -> Pictures:
    generator = np.random.default_rng(seed)
    return Pictures(
        generator.integers(0, 256, (5, 4, 4, 3), dtype=np.uint8), np.arange(5, dtype=np.int64)
    )


def test_another_recipe_has_another_folder(tmp_path: Path) -> None:
    other = RECIPE.model_copy(update={"seed": 9})
    assert zoo_folder(RECIPE, tmp_path) != zoo_folder(other, tmp_path)


def test_a_task_is_read_back_as_written(tmp_path: Path) -> None:
    folder = TaskFolder(tmp_path / "task")
    roles: dict[Role, Pictures] = {role: pictures(i) for i, role in enumerate(ROLES)}
    write_task(folder, ("λ", "π"), roles, np.zeros((5, 2), dtype=np.float32))
    assert read_classes(folder) == ("λ", "π")
    assert [np.array_equal(read_pictures(folder, r).pixels, roles[r].pixels) for r in ROLES] == [
        True
    ] * 4


def test_json_is_replaced_whole(tmp_path: Path) -> None:
    for number in (1, 2):
        write_json(tmp_path / "file.json", {"number": number})
    assert json.loads((tmp_path / "file.json").read_text()) == {"number": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["file.json"]


def test_what_a_killed_builder_left_is_cleared(tmp_path: Path) -> None:
    zoo = ZooFolder(tmp_path / "toy")
    (zoo.root / ".task.123.tmp" / "data").mkdir(parents=True)
    (zoo.root / ".base.safetensors.123.tmp").write_text("half")
    with sole_builder(zoo, ignore):
        assert list(zoo.root.iterdir()) == []


def test_a_second_builder_waits_for_the_first(tmp_path: Path) -> None:
    zoo, lines, entered = ZooFolder(tmp_path / "toy"), [], threading.Event()
    told = threading.Event()

    def tell(line: str) -> None:
        lines.append(line)
        told.set()

    def second() -> None:
        with sole_builder(zoo, tell):
            entered.set()

    thread = threading.Thread(target=second)
    with sole_builder(zoo, ignore):
        thread.start()
        assert told.wait(10)
        assert not entered.is_set()
    thread.join(10)
    assert entered.is_set()
    assert lines == ["another process is building this zoo; waiting for it"]
