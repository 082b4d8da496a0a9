import json
import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from distmerge.cli import main
from tests.cli.messages import failure
from tests.static.models import states, write
from tests.sweep.exports import ROUTED, Exports


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


def test_the_command_merges_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, tuned = write(tmp_path, states(2))
    target = tmp_path / "new" / "merged.safetensors"
    command = ["merge", "--base", str(base), "--method", "ties", "--set", "ties.density=0.5"]
    assert main([*command, "--dtype", "float16", "-o", str(target), *map(str, tuned)]) == 0
    assert capsys.readouterr().out.endswith(f"MB  {target}\n")
    assert {str(values.dtype) for values in load_file(target).values()} == {"float16"}


def test_the_merge_says_what_is_wrong_with_files_and_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, tuned = write(tmp_path, states(1))
    command = ["merge", "--base", str(base), "-o", str(tmp_path / "merged"), str(tuned[0])]
    assert "'scaling=1': expected" in failure(capsys, *command, "--set", "scaling=1")
    assert "none.safetensors: no such checkpoint" in failure(
        capsys, *command, str(tmp_path / "none.safetensors")
    )
    assert not (tmp_path / "merged").exists()
