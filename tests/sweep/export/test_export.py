import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from distmerge.coordinator import load_vectors
from distmerge.errors import CheckpointError, ConfigError
from distmerge.models import Tower
from distmerge.spec import ModelFiles
from distmerge.sweep import export_run
from distmerge.taskvectors import merge
from tests.coordinator.sessions import source_of
from tests.sweep.exports import KINDS, ROUTED, Exports
from tests.world import TOWER


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_the_best_runs_export_is_what_the_sweep_saved_byte_for_byte(exports: Exports) -> None:
    assert contents(exports.folders[exports.best.method]) == contents(Path(exports.best.folder))


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_made_twice_has_the_same_bytes(
    kind: str, exports: Exports, tmp_path: Path
) -> None:
    again = export_run(exports.runs[kind], str(exports.storage), to=tmp_path / "again")
    assert contents(again) == contents(exports.folders[kind])


def test_coefficients_lie_by_tensor_and_give_the_tower(exports: Exports, world: ModelFiles) -> None:
    folder = exports.folders["weight_averaging+surgery"]
    named = safetensors.torch.load_file(folder / "coefficients.safetensors")
    vectors = load_vectors(source_of(world), Tower(TOWER))
    columns = [named[segment.name] for segment in vectors.layout.segments]
    tower = safetensors.torch.load_file(folder / "model.safetensors")
    merged = merge(vectors, torch.stack(columns, dim=1))
    assert torch.equal(vectors.layout.flatten(tower), merged)


def test_the_beginning_of_a_run_is_enough_where_it_is_unique(
    exports: Exports, tmp_path: Path
) -> None:
    run = exports.runs["ties"]
    others = [other for other in exports.runs.values() if other != run]
    length = next(n for n in range(1, 17) if not any(o.startswith(run[:n]) for o in others))
    folder = export_run(run[:length], str(exports.storage), to=tmp_path / "model")
    assert json.loads((folder / "recipe.json").read_text())["run_id"] == run


def test_a_folder_that_is_there_is_left_alone(exports: Exports, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is there already; choose another folder with --to"):
        export_run(exports.runs["ties"], str(exports.storage), to=tmp_path)


def test_an_export_that_fails_leaves_nothing(
    exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="routed model"):
        export_run(exports.runs[ROUTED], str(exports.storage), hugging_face=True)
    assert list(tmp_path.iterdir()) == []
