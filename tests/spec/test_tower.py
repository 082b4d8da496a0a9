from pathlib import Path

import pytest
from pydantic import ValidationError

from distmerge.errors import CheckpointError
from distmerge.spec import ModelFiles, TowerConfig, load_tower_config
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
