import json
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

from distmerge.cli import main
from distmerge.coordinator import load_vectors
from distmerge.errors import CheckpointError, ConfigError
from distmerge.models import Tower
from distmerge.spec import ModelFiles
from distmerge.sweep import export_run
from distmerge.taskvectors import merge
from tests.coordinator.sessions import source_of
from tests.sweep.exports import KINDS, ROUTED, Exports, exported
from tests.world import TOWER


@pytest.fixture(scope="module")
def exports(world: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> Exports:
    return exported(world, tmp_path_factory.mktemp("exports"))


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


def test_the_command_says_what_it_wrote_and_where(
    exports: Exports,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(exports.storage, tmp_path / "results")
    assert main(["export", exports.runs["tinting"]]) == 0
    output = capsys.readouterr().out
    assert "own.safetensors" in output
    assert f"model    tiny-{exports.runs['tinting']}" in output


def test_the_command_predicts_and_counts_what_it_cannot_read(
    exports: Exports, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.new("RGB", (20, 20), "red").save(good)
    bad.write_text("no picture")
    command = ["predict", str(exports.folders[ROUTED]), str(good), str(bad), str(good)]
    assert main(command) == 1
    captured = capsys.readouterr()
    assert "weight" in captured.out
    assert "bad.png: cannot identify" in captured.err
    assert "1 of 3 images cannot be read" in captured.err


def test_the_command_predicts_as_json(
    exports: Exports, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    path = tmp_path / "good.png"
    Image.new("RGB", (20, 20), "red").save(path)
    folder = str(exports.folders["tinting"])
    command = ["predict", folder, str(path), str(path), "--task", "beta", "--json"]
    assert main(command) == 0
    row, again = json.loads(capsys.readouterr().out)
    assert again == row
    assert row["image"] == str(path)
    assert row["task"] == "beta"
    assert row["label"].startswith("beta ")
    assert 0 < row["probability"] <= 1


def test_the_command_asks_for_the_task_of_a_merged_model(
    exports: Exports, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(exports.folders["ties"]), "photo.png"]) == 2
    assert "tasks: alpha, beta, gamma" in capsys.readouterr().err
