"""Every kind of damage is found, named with its mend, and left as it is."""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distmerge.errors import ResultsError
from distmerge.results import Metric, RunStore, check
from tests.results.records import FAILED, RECORD
from tests.spec.hypers import HYPERS
from tests.storage.clients import client, keys
from tests.storage.server import WRITER, needs_s3

STUDY = "study=quick-start"
FOLDER = f"{STUDY}/method=learner+fixer"
NAME = f"{FOLDER}/{RECORD.run_id}-0.parquet"
RECIPE = f"_recipes/quick-start/{RECORD.run_id}.safetensors"
Damage = Callable[[Path], None]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A dataset with nothing wrong: a run, a reference, a failure, and what lies beside them."""
    store = RunStore(str(tmp_path), HYPERS)
    store.append(RECORD)
    store.append(replace(RECORD, run_id="i", stages="individual", hyper={}))
    store.append(replace(FAILED, run_id="f"))
    store.append(replace(RECORD, run_id="p", status="pruned"))
    for name in (
        RECIPE,
        "_recipes/quick-start/inputs-00.json",
        f"_best/quick-start/{RECORD.run_id}/model.safetensors",
        "_runs/quick-start/f.safetensors",
        "_studies/quick-start.json",
        "_writable",
    ):
        store.write_file(name, b"")
    return tmp_path


def append(root: Path, **changes: object) -> None:
    """Store one more attempt as another program might, next to the others."""
    other = RunStore(str(root / "elsewhere"), HYPERS)
    other.append(replace(RECORD, **changes))  # type: ignore[arg-type]  # fields of a record
    shutil.copytree(root / "elsewhere", root, dirs_exist_ok=True)
    shutil.rmtree(root / "elsewhere")


def rewritten(root: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change the table of the first run."""
    path = root / NAME
    pq.write_table(change(pq.read_table(path, partitioning=None)), path)


def tear(root: Path) -> None:
    path = root / NAME
    path.write_bytes(path.read_bytes()[:-20])


def copy(name: str, other: str) -> Damage:
    def damage(root: Path) -> None:
        (root / other).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, root / other)

    return damage


def write(name: str) -> Damage:
    def damage(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")

    return damage


def set_column(name: str, values: pa.Array) -> Damage:
    def damage(root: Path) -> None:
        def change(table: pa.Table) -> pa.Table:
            kept = table.drop_columns([name]) if name in table.column_names else table
            return kept.append_column(name, values)

        rewritten(root, change)

    return damage


def nan(root: Path) -> None:
    metrics = (Metric("clean", "mean", "accuracy", float("nan")),)
    append(root, run_id="n", stages="individual", hyper={}, metrics=metrics)


DAMAGES: dict[str, tuple[Damage, str, str]] = {
    "torn": (tear, NAME, "torn, or no Parquet file"),
    "temporary": (write(f"{FOLDER}/.x.parquet.1.tmp"), f"{FOLDER}/.x.parquet.1.tmp", "killed"),
    "foreign rows": (write(f"{STUDY}/x.parquet"), f"{STUDY}/x.parquet", "foreign file"),
    "foreign text": (write("notes.txt"), "notes.txt", "foreign file"),
    "foreign folder": (write("_mine/x.txt"), "_mine/x.txt", "foreign file"),
    "same attempt": (
        copy(NAME, NAME.replace("quick-start", "copied")),
        NAME,
        "the same attempt as study=copied",
    ),
    "two ok attempts": (lambda root: append(root, attempt=2), NAME, "ended well once more"),
    "misnamed": (
        copy(NAME, f"{FOLDER}/other-0.parquet"),
        f"{FOLDER}/other-0.parquet",
        "run_id: the name says other, the rows 0123456789abcdef",
    ),
    "wrong method": (
        copy(NAME, NAME.replace("learner+fixer", "fixer")),
        NAME.replace("learner+fixer", "fixer"),
        r"the path says method=fixer, the rows have settings of \['learner'\]",
    ),
    "not finite": (nan, f"{STUDY}/method=individual/n-0.parquet", "1 values are NaN"),
    "no recipe": (lambda root: (root / RECIPE).unlink(), NAME, "its model is lost"),
    "recipe alone": (
        write("_recipes/quick-start/gone.safetensors"),
        "_recipes/quick-start/gone.safetensors",
        "belongs to no run that ended well",
    ),
    "recipe of a failure": (
        write("_recipes/quick-start/f.safetensors"),
        "_recipes/quick-start/f.safetensors",
        "belongs to no run that ended well",
    ),
    "pictures alone": (
        write("_pictures/quick-start/gone.safetensors"),
        "_pictures/quick-start/gone.safetensors",
        "belongs to no run that ended well",
    ),
    "best alone": (
        write("_best/quick-start/gone/model.safetensors"),
        "_best/quick-start/gone/model.safetensors",
        "belongs to no run that ended well",
    ),
    "state of a finished run": (
        write(f"_runs/quick-start/{RECORD.run_id}.safetensors"),
        f"_runs/quick-start/{RECORD.run_id}.safetensors",
        "left by a writer that was killed",
    ),
    "scores of a finished run": (
        write(f"_runs/quick-start/{RECORD.run_id}.json"),
        f"_runs/quick-start/{RECORD.run_id}.json",
        "left by a writer that was killed",
    ),
    "other type": (
        set_column("learner.lr", pa.array(["fast"] * 4)),
        NAME,
        "learner.lr: string, in other files double",
    ),
    "newer": (set_column("schema_version", pa.array([99] * 4)), NAME, "schema version 99"),
    "status": (set_column("status", pa.array(["fine"] * 4)), NAME, "status: got fine"),
    "partition key": (set_column("method", pa.array(["x"] * 4)), NAME, "repeats the partition"),
    "no run": (
        lambda root: rewritten(root, lambda table: table.drop_columns(["value"])),
        NAME,
        "has no column value",
    ),
    "row twice": (
        lambda root: rewritten(root, lambda t: pa.concat_tables([t, t.slice(0, 1)])),
        NAME,
        "holds one measurement twice",
    ),
}  # fmt: skip


def test_a_whole_dataset_has_no_finding(root: Path) -> None:
    assert check(str(root)) == ()


@pytest.mark.parametrize(("damage", "place", "problem"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_found_and_left_as_it_is(
    damage: Damage, place: str, problem: str, root: Path
) -> None:
    damage(root)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    findings = check(str(root))
    told = [found for found in findings if found.place == place]
    assert any(re.search(problem, found.problem) for found in told), findings
    assert all(found.mend for found in findings)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_a_file_without_rows_is_a_withdrawn_attempt(root: Path) -> None:
    append(root, run_id="w", stages="individual", hyper={})
    path = root / STUDY / "method=individual" / "w-0.parquet"
    pq.write_table(pq.read_table(path, partitioning=None).slice(0, 0), path)
    assert check(str(root)) == ()


def test_columns_that_an_older_version_did_not_have_are_no_finding(root: Path) -> None:
    rewritten(root, lambda table: table.drop_columns(["level", "git_commit", "fixer.rank"]))
    assert check(str(root)) == ()


def test_several_findings_are_told_at_once(root: Path) -> None:
    tear(root)
    write("notes.txt")(root)
    # The torn run's recipe and best model are now those of no run.
    assert [found.place.split("/")[0] for found in check(str(root))] == [
        "_best", "_recipes", "notes.txt", STUDY,
    ]  # fmt: skip


def test_nothing_to_check_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no results here"):
        check(str(tmp_path / "absent"))


@needs_s3
def test_a_directory_marker_on_s3_is_found(bucket: str) -> None:
    from pyarrow.fs import FileSystem

    root = f"{bucket}/results"
    store = RunStore(root, HYPERS)
    store.append(RECORD)
    store.write_file(RECIPE, b"")
    assert check(root) == ()
    filesystem, path = FileSystem.from_uri(f"{root}?allow_delayed_open=true")
    with filesystem.open_output_stream(f"{path}/{STUDY}/method=fixer/x") as stream:
        stream.write(b"x")
    filesystem.delete_file(f"{path}/{STUDY}/method=fixer/x")  # pyarrow then makes a marker
    (found,) = check(root)
    assert found.place == f"{STUDY}/method=fixer/"
    assert found.problem.startswith("directory marker")


@needs_s3
def test_what_is_removed_on_s3_is_gone_and_its_marker_no_finding(bucket: str) -> None:
    root, state = f"{bucket}/results", f"_runs/quick-start/{RECORD.run_id}.safetensors"
    store = RunStore(root, HYPERS)
    store.append(RECORD)
    for name in (RECIPE, state):
        store.write_file(name, b"x")
    for _ in range(2):
        store.remove_file(state)
    assert store.find_file(state) == b""
    assert [key for key in keys(root) if key.startswith("_runs")] == ["_runs/quick-start/"]
    assert check(root) == ()
    options = {"key": WRITER.key, "secret": WRITER.secret}
    options["endpoint_url"] = os.environ["AWS_ENDPOINT_URL"]
    assert len(pd.read_parquet(root, storage_options=options)) == len(RECORD.metrics)
    with duckdb.connect() as connection:
        connection.register_filesystem(client())
        query = f"select count(*) from read_parquet('{root}/**/*.parquet', hive_partitioning=true)"
        assert connection.execute(query).fetchone() == (len(RECORD.metrics),)
