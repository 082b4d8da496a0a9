"""An exported model, measured again."""

import json
import shutil
from pathlib import Path

import pytest

from distmerge.api import evaluate
from distmerge.errors import ConfigError, DataError
from distmerge.results import load
from distmerge.spec import ModelFiles
from tests.api.world import places_of
from tests.sweep.exports import KINDS, Exports
from tests.world import arrays_of


@pytest.mark.parametrize("kind", KINDS)
def test_an_exported_model_has_the_clean_metrics_of_its_run(
    kind: str, exports: Exports, world: ModelFiles
) -> None:
    found = evaluate(exports.folders[kind], places_of(world)["data"])
    rows = load(str(exports.storage), "tiny")
    swept = rows[(rows["run_id"] == exports.runs[kind]) & (rows["suite"] == "clean")]
    keys = ["task", "metric"]
    expected = swept.set_index(keys)["value"]
    assert found.set_index(keys)["value"].to_dict() == pytest.approx(expected.to_dict(), abs=1e-6)


def test_one_task_may_be_measured_alone(exports: Exports, world: ModelFiles) -> None:
    data = {"beta": places_of(world)["data"]["beta"]}
    assert set(evaluate(exports.folders["ties"], data)["task"]) == {"beta", "mean"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"omega": "omega"}, "data: got omega; tasks: alpha, beta, gamma"),
        ({}, "data: got nothing; tasks: alpha"),
        ({"beta": {"pth": "x"}}, "data.*: Extra inputs"),
    ],
    ids=["task", "nothing", "key"],
)
def test_what_is_no_data_of_the_model_is_refused(
    data: dict[str, str], message: str, exports: Exports
) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate(exports.folders["ties"], data)


def test_data_with_other_classes_are_refused(
    exports: Exports, world: ModelFiles, tmp_path: Path
) -> None:
    other = tmp_path / "beta"
    shutil.copytree(arrays_of(world.tasks[1]), other)
    names = json.loads((other / "classes.json").read_text())
    (other / "classes.json").write_text(json.dumps(names[::-1]))
    with pytest.raises(DataError, match=r"beta: got beta 3, beta 2.* expected beta 0, beta 1"):
        evaluate(exports.folders["ties"], {"beta": other})
