from pathlib import Path

import pytest

from distmerge.coordinator import Source
from distmerge.errors import CheckpointError, DataError
from distmerge.models import tower_shapes
from distmerge.spec import ImageCounts, ModelFiles
from distmerge.sweep.inputs import read_inputs
from tests.coordinator.sessions import source_of
from tests.sweep.headers import sparse_file
from tests.world import TOWER

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
    with pytest.raises(
        DataError, match=r"select\.images\.npy holds 16 images, expected at least 17"
    ):
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
