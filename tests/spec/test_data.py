import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from distmerge.errors import ConfigError
from distmerge.methods import HYPERS
from distmerge.spec import BenchmarkData, RoleData, Shares, TaskFiles, WholeData, load_study

ROLES = {"adapt": "a", "select": "s", "report": "r"}


def files_with(data: object) -> TaskFiles:
    return TaskFiles.model_validate({"name": "one", "checkpoint": "c", "head": "h", "data": data})


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("some/folder", Path("some/folder")),
        ("s3://bucket/images", WholeData(path="s3://bucket/images")),
        ({"path": "x", "skip_unreadable": 3}, WholeData(path="x", skip_unreadable=3)),
        (ROLES, RoleData(adapt="a", select="s", report="r")),
        ({"torchvision": "SVHN", "root": "x"}, BenchmarkData(torchvision="SVHN", root="x")),
        (
            {"path": Path("x"), "classes": ["a", "b"]},
            WholeData(path="x", classes=("a", "b")),
        ),
        ({"path": "x", "classes": "names.txt"}, WholeData(path="x", classes="names.txt")),
    ],
)
def test_the_form_says_what_data_are_meant(data: object, expected: object) -> None:
    files = files_with(data)
    assert files.data == expected
    assert TaskFiles.model_validate_json(files.model_dump_json()) == files
    assert hash(files) == hash(files_with(expected))


def problems_of(folder: Path, *data: object) -> str:
    tasks = [
        {"name": f"t{i}", "checkpoint": "c", "head": "h", "data": one}
        for i, one in enumerate([*data, "x"])
    ]
    content: dict[str, Any] = {
        "study": "s",
        "models": {"tower": "t", "base": "b", "tasks": tasks},
        "pipelines": [{"stages": ["weight_averaging"]}],
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=r"study\.yaml") as caught:
        load_study(folder / "study.yaml", [], HYPERS)
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"path": "x", "skip": 3}, "data.skip: unknown key"),
        ({"path": ""}, "data.path: String should have at least 1 character"),
        ({}, "data.path: required, not given"),
        ({**ROLES, "shares": {}}, "data.shares: does not go with the other keys there"),
        ({"adapt": "a", "select": "s"}, "data.report: required, not given"),
        ({"torchvision": "CIFAR10", "root": "x"}, "data.torchvision: Input should be 'SUN397'"),
        ({"torchvision": "SVHN"}, "data.root: required, not given"),
        ({"path": "x", "skip_unreadable": -1}, "data.skip_unreadable: Input should be greater"),
        ({"path": "x", "shared": "keep"}, "data.shared: Input should be 'refuse' or 'drop'"),
        (
            {"path": "x", "shares": {"adapt": 0.5}},
            "data.shares: adapt + select + report: got 0.9, expected 1",
        ),
        ({"path": "x", "shares": {"adapt": 1}}, "data.shares.adapt: Input should be less than 1"),
        (3, "data: Input is not a valid path"),
    ],
)
def test_what_is_wrong_is_said_of_the_form_that_was_meant(
    data: object, problem: str, tmp_path: Path
) -> None:
    assert f"models.tasks.0.{problem}" in problems_of(tmp_path, data)


def test_the_problems_of_all_tasks_are_listed_at_once(tmp_path: Path) -> None:
    message = problems_of(tmp_path, {"path": "x", "skip": 3}, {"torchvision": "SVHN"})
    assert "models.tasks.0.data.skip" in message
    assert "models.tasks.1.data.root" in message


def test_paths_become_absolute_and_urls_stay() -> None:
    data = RoleData(adapt="memory://a", select="s/*.parquet", report="/r", classes="names.txt")
    here = Path.cwd()
    absolute = data.absolute()
    assert json.loads(absolute.model_dump_json(include={*ROLES, "classes"})) == {
        "adapt": "memory://a",
        "select": f"{here}/s/*.parquet",
        "report": "/r",
        "classes": f"{here}/names.txt",
    }
    assert WholeData(path="x", classes=("a", "b")).absolute().classes == ("a", "b")
    assert BenchmarkData(torchvision="DTD", root="x").absolute() == BenchmarkData(
        torchvision="DTD", root=f"{here}/x"
    )


def test_shares_have_defaults_that_sum_to_one() -> None:
    assert Shares().model_dump() == {"adapt": 0.6, "select": 0.1, "report": 0.3}


def test_a_url_with_a_secret_is_refused_and_the_secret_not_shown() -> None:
    with pytest.raises(ValidationError, match=r"s3://\.\.\.@bucket/x: a URL must not hold cred"):
        WholeData(path="s3://key:hidden@bucket/x")
