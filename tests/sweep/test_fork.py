from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from distmerge.cli import main
from distmerge.errors import ConfigError
from distmerge.methods import HYPERS
from distmerge.results import REFERENCES, RunStore
from distmerge.spec import ModelFiles, Study
from distmerge.sweep import plan_lines, run_sweep
from distmerge.sweep.changes import record_study
from distmerge.sweep.fork import take_over
from tests.cli.messages import failure
from tests.coordinator.sessions import session_of
from tests.sweep.studies import console, content_of, rows_of, study_of, written

SETTINGS = {"adamerging.steps": 4, "adamerging.batch_size": 8}
FIXED = {"stages": ["adamerging"], "settings": SETTINGS}
PIPELINES: list[dict[str, Any]] = [
    {"stages": ["weight_averaging"]},
    {"stages": ["task_arithmetic"], "trials": 4},
    FIXED,
]
LATER: list[dict[str, Any]] = [
    {"stages": ["weight_averaging"]},
    {
        "stages": ["task_arithmetic"],
        "trials": 3,
        "settings": {"task_arithmetic.scaling": {"uniform": [0.25, 0.35]}},
    },
    {**FIXED, "settings": {**SETTINGS, "adamerging.steps": 5}},
]
NUMBERS = ["method", "suite", "task", "metric", "value", "step"]


@pytest.fixture(scope="module")
def parent(world: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = study_of(world, tmp_path_factory.mktemp("fork"), ray=False, pipelines=PIPELINES)
    run_sweep(study, console())
    return study


def child_of(parent: Study, world: ModelFiles, **changes: Any) -> Study:
    content = content_of(world, Path(parent.storage), ray=False, pipelines=PIPELINES)
    return Study.model_validate({**content, **changes})


def taken(parent: Study, child: Study, world: ModelFiles) -> pd.DataFrame:
    store = RunStore(parent.storage, HYPERS)
    take_over(store, parent.study, child, session_of(world).digests)
    return rows_of(child)


def test_a_fork_has_the_runs_that_are_the_same_under_its_own_names(
    parent: Study, world: ModelFiles
) -> None:
    child = child_of(parent, world, study="same")
    rows, old = taken(parent, child, world), rows_of(parent)
    old = old[~old["method"].isin(["individual", "pretrained"])]
    order = ["method", "suite", "task", "metric", "value"]
    pd.testing.assert_frame_equal(
        rows[NUMBERS].sort_values(order, ignore_index=True),
        old[NUMBERS].sort_values(order, ignore_index=True),
        check_exact=True,
    )
    assert not set(rows["run_id"]) & set(old["run_id"])


def test_a_fork_asks_only_for_what_is_new(parent: Study, world: ModelFiles) -> None:
    child, output = child_of(parent, world, study="later", pipelines=LATER), console()
    run_sweep(child, output, parent.study)
    rows = rows_of(child)
    assert rows[rows["method"] == "adamerging"]["step"].unique().tolist() == [5]
    values = RunStore(child.storage, HYPERS).finished("later")["task_arithmetic.scaling"].dropna()
    assert values.between(0.25, 0.35).all()
    before = rows_of(parent)
    ours, theirs = (r[r["method"] == "weight_averaging"] for r in (rows, before))
    assert ours["value"].tolist() == theirs["value"].tolist()
    again = rows_of(child)
    run_sweep(child, console(), parent.study)
    pd.testing.assert_frame_equal(rows_of(child), again)


@pytest.mark.parametrize("change", [{"seed": 1}, {"select": "entropy"}], ids=str)
def test_nothing_is_taken_over_of_other_settings(
    change: dict[str, Any], parent: Study, world: ModelFiles
) -> None:
    child = child_of(parent, world, study=f"other-{next(iter(change))}", **change)
    assert taken(parent, child, world).empty


@pytest.mark.parametrize("folder", ["_recipes", "_pictures"])
def test_a_run_that_is_taken_over_has_its_model_and_its_pictures(
    folder: str, parent: Study, world: ModelFiles
) -> None:
    store, name = RunStore(parent.storage, HYPERS), f"beside{folder}"
    new = set(taken(parent, child_of(parent, world, study=name), world)["run_id"])
    assert set(store.file_names(f"{folder}/{name}")) == {f"{run}.safetensors" for run in new}
    old = {store.read_file(f"{folder}/tiny/{each}") for each in store.file_names(f"{folder}/tiny")}
    assert {store.read_file(f"{folder}/{name}/{run}.safetensors") for run in new} <= old


def test_a_run_without_pictures_is_taken_over_too(parent: Study, world: ModelFiles) -> None:
    store, kept = RunStore(parent.storage, HYPERS), {}
    for each in store.file_names("_pictures/tiny"):
        kept[each] = store.read_file(f"_pictures/tiny/{each}")
        store.remove_file(f"_pictures/tiny/{each}")
    rows = taken(parent, child_of(parent, world, study="bare"), world)
    for each, content in kept.items():
        store.write_file(f"_pictures/tiny/{each}", content)
    assert not rows.empty
    assert store.file_names("_pictures/bare") == []


def test_a_parent_without_rows_is_named_and_nothing_is_left(
    world: ModelFiles, tmp_path: Path
) -> None:
    child = study_of(world, tmp_path, ray=False)
    with pytest.raises(ConfigError, match=f"study 'nobody' has no rows in {tmp_path}"):
        run_sweep(child, console(), "nobody")
    assert list(tmp_path.iterdir()) == []


def test_a_fork_that_is_refused_stores_no_row(parent: Study, world: ModelFiles) -> None:
    child, store = child_of(parent, world, study="refused"), RunStore(parent.storage, HYPERS)
    record_study(store, child, replace(session_of(world).digests, base="another"))
    with pytest.raises(ConfigError, match=r"(?s)refused was run with .*models\.base \(content\)"):
        run_sweep(child, console(), parent.study)
    assert store.records("refused").empty


def test_a_fork_names_the_bank_that_older_rows_do_not(parent: Study, world: ModelFiles) -> None:
    for path in Path(parent.storage).glob("study=tiny/*/*.parquet"):
        table = pq.read_table(path, partitioning=None)
        pq.write_table(table.drop_columns(["bank"]), path)
    child = child_of(parent, world, study="named")
    assert not taken(parent, child, world).empty
    assert set(RunStore(parent.storage, HYPERS).records("named")["bank"]) == {"float32"}


def test_a_changed_study_is_refused_and_runs_as_a_fork(
    world: ModelFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(written(world, tmp_path, ray=False, pipelines=PIPELINES[1:2]))
    assert main(["sweep", path]) == 0
    assert main(["sweep", path, "pipelines.0.trials=5"]) == 0
    capsys.readouterr()
    message = failure(capsys, "sweep", path, "seed=2")
    assert "seed: was 0, now 2" in message
    assert main(["sweep", path, "select=accuracy", "--fork", "labels"]) == 0
    assert RunStore(str(tmp_path / "results"), HYPERS).studies() == ["labels", "tiny"]


def test_a_plan_of_a_fork_counts_the_runs_that_it_takes_over(
    parent: Study, world: ModelFiles
) -> None:
    child = child_of(parent, world, study="planned", pipelines=LATER)
    lines = list(plan_lines(child, parent.study))
    (line,) = (line for line in lines if line.startswith("  runs taken over from tiny: "))
    left = lines[-1].rpartition(" ")[2]
    assert not rows_of(child).size
    run_sweep(child, output := console(), parent.study)
    assert line.strip() in output.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    rows = rows_of(child)
    done = rows[~rows["method"].isin(REFERENCES)]["run_id"].nunique()
    assert int(left) == done - int(line.rpartition(" ")[2])


def test_a_plan_of_a_fork_of_nothing_is_refused(world: ModelFiles, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="study 'nobody' has no rows"):
        list(plan_lines(study_of(world, tmp_path, ray=False), "nobody"))
