from pathlib import Path

import pytest
from pydantic import ValidationError

from distmerge.errors import ConfigError
from distmerge.spec import TaskFiles, ZeroShotHead

TEXT = {"text": "clip.safetensors", "model": "ViT-B-32", "templates": "MNIST"}


def files_with(head: object) -> TaskFiles:
    return TaskFiles.model_validate({"name": "one", "checkpoint": "c", "head": head, "data": "d"})


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("head.safetensors", Path("head.safetensors")),
        (TEXT, ZeroShotHead(text=Path("clip.safetensors"), model="ViT-B-32", templates="MNIST")),
        (
            {**TEXT, "templates": "a {}", "classes": ["x", "y"]},
            ZeroShotHead(
                text=Path("clip.safetensors"),
                model="ViT-B-32",
                templates=("a {}",),
                classes=("x", "y"),
            ),
        ),
    ],
)
def test_the_form_says_what_head_is_meant(head: object, expected: object) -> None:
    files = files_with(head)
    assert files.head == expected
    assert TaskFiles.model_validate_json(files.model_dump_json()) == files
    assert hash(files) == hash(files_with(expected))


@pytest.mark.parametrize(
    ("head", "place"),
    [
        ({"text": "x", "model": "m"}, r"head\.\(zero-shot\)\.templates\n *Field required"),
        ({**TEXT, "template": "a {}"}, r"head\.\(zero-shot\)\.template\n *Extra inputs"),
        (3, r"head\.\(file\)\n *Input is not a valid path"),
    ],
)
def test_what_is_wrong_is_said_of_the_form_that_was_meant(head: object, place: str) -> None:
    with pytest.raises(ValidationError, match=place):
        files_with(head)


def test_files_are_told_from_names() -> None:
    named = ZeroShotHead.model_validate(TEXT)
    assert named.files == {"text": Path("clip.safetensors")}
    places = {"model": "m.json", "templates": "t.txt", "classes": "c.txt"}
    head = ZeroShotHead.model_validate({**TEXT, **places})
    assert head.files == {name: Path(p) for name, p in {"text": TEXT["text"], **places}.items()}


def test_absolute_paths_leave_names_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    head = ZeroShotHead.model_validate({**TEXT, "classes": "c.txt"}).absolute()
    assert head == ZeroShotHead(
        text=tmp_path / "clip.safetensors",
        model="ViT-B-32",
        templates="MNIST",
        classes=str(tmp_path / "c.txt"),
    )


def test_a_zero_shot_head_is_no_file_yet() -> None:
    assert files_with("h").head_file == Path("h")
    with pytest.raises(ConfigError, match="task one: the zero-shot head of ViT-B-32 in clip"):
        _ = files_with(TEXT).head_file
