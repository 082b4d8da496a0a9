import re
from pathlib import Path

import pytest
import yaml

from distmerge.errors import ConfigError
from distmerge.launch import Report, check
from tests.launch.conftest import Checked
from tests.launch.files import CLUSTER, KUBERAY, RAY_UP, changed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"cannot read the launch file"),
        ("a: [", r"cannot read the launch file"),
        ("study: mine", r"not a launch file; expected the provider"),
        ("- 1", r"not a launch file"),
    ],
)
def test_what_is_no_launch_file_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "file.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        check(path)


def test_several_mistakes_are_told_at_once(checked: Checked) -> None:
    report = checked(
        "aws",
        ("MetadataOptions", "MetadataOption"),
        ("min_workers: 1", "min_workers: 5"),
        ("127.0.0.1", "0.0.0.0"),
    )
    assert len(report.problems) == 3 + 4  # each of the other kinds inherits the typing error


@pytest.mark.parametrize("name", [*RAY_UP, *KUBERAY])
def test_what_is_still_to_be_changed_is_named_once_each(name: str) -> None:
    path = CLUSTER / f"{name}.yaml"
    problems = [p for p in check(path).problems if p.endswith("is still to be changed")]
    marks = set(re.findall(r"CHANGE-[a-z0-9-]+|(?:ami|sg)-CHANGE", path.read_text()))
    assert len(problems) == len(marks)


@pytest.mark.parametrize("name", [*RAY_UP, *KUBERAY])
@pytest.mark.parametrize("wrong", [None, {"nonsense": 7}])
def test_no_wrong_value_ends_the_check_itself(name: str, wrong: object, checked: Checked) -> None:
    config = yaml.safe_load(changed(name))
    for key in config:
        edited = yaml.safe_dump(config | {key: wrong})
        assert isinstance(checked(name, (changed(name), edited)), Report)
