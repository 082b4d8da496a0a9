import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distmerge.coordinator import Source
from distmerge.errors import CheckpointError, DataError
from distmerge.models import tower_shapes
from distmerge.spec import ImageCounts, ModelFiles, RoleData, WholeData
from distmerge.sweep.inputs import read_inputs
from tests.coordinator.sessions import source_of
from tests.sweep.headers import sparse_file
from tests.tasks.pictures import samples_of, write_folder, write_parquet
from tests.texts import build_text_world
from tests.world import TOWER, arrays_of

SHAPES = tower_shapes(TOWER)


def with_base(world: ModelFiles, path: Path) -> Source:
    return source_of(world.model_copy(update={"base": path}))


def test_headers_tell_types_classes_and_image_counts(world: ModelFiles) -> None:
    inputs = read_inputs(source_of(world))
    assert set(inputs.types.values()) == {"F32"}
    assert [stock.classes for stock in inputs.stocks.values()] == [3, 4, 5]
    assert inputs.stocks["alpha"].images == {"adapt": 40, "select": 16, "report": 24}
    assert inputs.warnings == ()


def test_a_study_counts_the_images_that_it_asks_for(world: ModelFiles) -> None:
    source = Source(world, ImageCounts(select=7), transductive=True, levels=("L1",))
    images = read_inputs(source).stocks["alpha"].images
    assert images == {"adapt": 24, "select": 7, "report": 24, "L1": 24}


def test_too_few_images_are_named(world: ModelFiles) -> None:
    source = Source(world, ImageCounts(select=17), transductive=False)
    with pytest.raises(DataError, match="select holds 16 samples, expected at least 17"):
        read_inputs(source)


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ({"activation": "QuickGELU"}, "activation: made with QuickGELU, the tower has gelu"),
        (
            {"preprocess": '{"size": 8, "mean": [0, 0, 0], "std": [1, 1, 1]}'},
            "preprocess: made with size=8",
        ),
        ({"preprocess": "{}"}, "preprocess: not readable"),
    ],
)
def test_a_file_of_another_activation_or_preprocessing_is_refused(
    metadata: dict[str, str], text: str, world: ModelFiles, tmp_path: Path
) -> None:
    path = sparse_file(tmp_path / "base.safetensors", SHAPES, metadata=metadata)
    with pytest.raises(CheckpointError, match=f"pretrained: {text}"):
        read_inputs(with_base(world, path))


def test_a_file_of_the_same_activation_fits(world: ModelFiles, tmp_path: Path) -> None:
    metadata = {"activation": "GELU", "preprocess": TOWER.preprocess.model_dump_json()}
    path = sparse_file(tmp_path / "base.safetensors", SHAPES, metadata=metadata)
    assert read_inputs(with_base(world, path)).warnings == ()


def test_a_wrong_folder_is_named_with_all_that_it_should_hold(
    world: ModelFiles, tmp_path: Path
) -> None:
    places = {name: tmp_path / f"{name}.safetensors" for name in ("base", "alpha")}
    alpha = world.tasks[0].model_copy(update={"checkpoint": places["alpha"]})
    files = {"tower": tmp_path / "tower.json", "base": places["base"]}
    wrong = world.model_copy(update={**files, "tasks": (alpha, *world.tasks[1:])})
    with pytest.raises(CheckpointError, match=r"tower\.json, .*`distmerge import") as caught:
        read_inputs(source_of(wrong))
    assert str(caught.value).splitlines()[1:] == [
        f"  - {files['tower']}: cannot read the tower description (No such file or directory)",
        f"  - pretrained: {places['base']}: no such checkpoint",
        f"  - alpha: {places['alpha']}: no such checkpoint",
    ]


def test_a_folder_in_place_of_a_checkpoint_is_named(world: ModelFiles, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="a folder, expected a safetensors file"):
        read_inputs(with_base(world, tmp_path))


def test_tensors_that_are_no_fractions_are_refused(world: ModelFiles, tmp_path: Path) -> None:
    path = sparse_file(tmp_path / "base.safetensors", SHAPES, dtype="I64")
    with pytest.raises(CheckpointError, match="pretrained: proj: got type I64, expected one of"):
        read_inputs(with_base(world, path))


def test_mixed_types_and_equal_files_are_warned_of(world: ModelFiles, tmp_path: Path) -> None:
    path = sparse_file(tmp_path / "base.safetensors", SHAPES, dtype="F16")
    alpha, beta, gamma = world.tasks
    tasks = (alpha, beta.model_copy(update={"checkpoint": alpha.checkpoint}), gamma)
    files = world.model_copy(update={"tasks": tasks, "base": path})
    types, same = read_inputs(source_of(files)).warnings
    assert "pretrained F16, alpha F32" in types
    assert same.startswith("alpha and beta are the same file")


def with_data(world: ModelFiles, *data: object) -> Source:
    changed = zip(world.tasks, data, strict=False)
    tasks = tuple(task.model_copy(update={"data": value}) for task, value in changed)
    return source_of(world.model_copy(update={"tasks": (*tasks, *world.tasks[len(data) :])}))


def test_a_head_of_another_length_than_the_class_folders_is_found(
    world: ModelFiles, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "pictures", samples_of(8))
    problem = r"task alpha: head for 2 classes: weight: got shape \(3, 8\), expected \(2, 8\)"
    with pytest.raises(CheckpointError, match=problem):
        read_inputs(with_data(world, WholeData(path=str(folder))))


def test_encoded_images_are_counted(world: ModelFiles, tmp_path: Path) -> None:
    folder = str(write_folder(tmp_path / "pictures", samples_of(20)))
    rows = str(write_parquet(tmp_path / "rows.parquet", samples_of(6)))
    names = ("cat", "dog", "emu")
    data = RoleData(adapt=folder, select=rows, report=folder, classes=names)
    stock = read_inputs(with_data(world, data)).stocks["alpha"]
    assert (stock.images, stock.exact) == ({"adapt": 20, "select": 6, "report": 20}, True)
    whole = WholeData(path=folder, classes=names)
    stock = read_inputs(with_data(world, whole)).stocks["alpha"]
    assert (stock.images, stock.exact) == ({"adapt": 12, "select": 2, "report": 6}, False)


def test_missing_data_of_all_tasks_are_listed_at_once(world: ModelFiles, tmp_path: Path) -> None:
    one = WholeData(path=str(tmp_path / "one"))
    other = RoleData(adapt=None, select=str(tmp_path / "two"), report=str(tmp_path / "three"))
    source = replace(with_data(world, one, other), transductive=True)
    with pytest.raises(DataError, match=r"alpha, data: .*/one: no such(.|\n)*/two: .*/three: no"):
        read_inputs(source)


def test_a_role_that_is_too_small_is_named(world: ModelFiles, tmp_path: Path) -> None:
    folder = str(write_folder(tmp_path / "pictures", samples_of(4)))
    data = RoleData(adapt=folder, select=folder, report=folder, classes=("cat", "dog", "emu"))
    source = replace(with_data(world, data), images=ImageCounts(adapt=5))
    with pytest.raises(DataError, match="adapt holds 4 samples, expected at least 5"):
        read_inputs(source)


def test_arrays_that_a_sweep_would_refuse_are_found(world: ModelFiles, tmp_path: Path) -> None:
    folder = shutil.copytree(arrays_of(world.tasks[0]), tmp_path / "alpha")
    (folder / "select.labels.npy").unlink()
    np.save(folder / "adapt.images.npy", np.zeros((40, 3, 16, 16), np.uint8))
    alpha = world.tasks[0].model_copy(update={"data": folder})
    files = world.model_copy(update={"tasks": (alpha, *world.tasks[1:])})
    with pytest.raises(DataError, match=r"task alpha, .*cannot read select\.labels\.npy") as caught:
        read_inputs(source_of(files))
    assert "adapt.images.npy: got uint8 (40, 3, 16, 16), expected uint8" in str(caught.value)


def test_a_missing_tokenizer_is_found(tmp_path: Path) -> None:
    files = build_text_world(tmp_path)
    read_inputs(source_of(files))
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(DataError, match="cannot read the tokenizer"):
        read_inputs(source_of(files))
