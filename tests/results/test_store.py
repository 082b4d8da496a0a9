"""Real files: what is stored is what every reader reads, whatever happens to the writers."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import permutations
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distmerge.errors import ResultsError
from distmerge.results import Metric, RunRecord, RunStore, picture_name
from distmerge.spec import Hyper
from tests.results.records import FAILED, RECORD
from tests.spec.hypers import HYPERS, Fixer

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(str(tmp_path / "results"), HYPERS)


def files(store: RunStore) -> list[str]:
    root = Path(store.root)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def duckdb_rows(root: str) -> pd.DataFrame:
    """Rows as DuckDB reads them, without our code."""
    query = f"select * from read_parquet('{root}/**/*.parquet', hive_partitioning=true)"
    rows: pd.DataFrame = duckdb.connect().sql(query).to_arrow_table().to_pandas()
    return rows


READERS = pytest.mark.parametrize("read", [pd.read_parquet, duckdb_rows], ids=["pandas", "duckdb"])
Reader = Callable[[str], pd.DataFrame]


def test_a_run_is_one_file_under_its_study_and_method(store: RunStore) -> None:
    store.append(RECORD)
    assert files(store) == ["study=quick-start/method=learner+fixer/0123456789abcdef-0.parquet"]


def test_nothing_stored_gives_an_empty_frame_with_every_column(store: RunStore) -> None:
    empty = store.records("quick-start")
    store.append(RECORD)
    assert list(empty.columns) == list(store.records("quick-start").columns)
    assert empty.empty


def test_records_of_another_study_are_not_given(store: RunStore) -> None:
    store.append(RECORD)
    assert store.records("quick").empty


def test_a_study_named_like_a_number_keeps_its_name(store: RunStore) -> None:
    store.append(replace(RECORD, study="007"))
    assert set(store.records("007")["study"]) == {"007"}


@READERS
@pytest.mark.parametrize("stages", ["learner+fixer", "a.b-c_d+e", "learner"])
def test_other_readers_read_the_dataset_as_it_is(
    store: RunStore, read: Reader, stages: str
) -> None:
    store.append(replace(RECORD, stages=stages))
    rows = read(store.root)
    assert list(rows["method"].astype(str)) == [stages] * 4
    assert list(rows["study"].astype(str)) == ["quick-start"] * 4
    assert list(rows["value"]) == [metric.value for metric in RECORD.metrics]


@READERS
def test_other_readers_see_the_same_rows_as_the_store(store: RunStore, read: Reader) -> None:
    store.append(RECORD)
    store.append(replace(FAILED, run_id="other", stages="fixer"))
    columns = ["run_id", "status", "error", "method", "learner.steps", "task", "value"]
    ours, theirs = (
        rows[columns].astype({"method": object}).sort_values(columns, ignore_index=True)
        for rows in (store.records("quick-start"), read(store.root))
    )
    pd.testing.assert_frame_equal(ours, theirs, check_dtype=False)


def test_the_same_attempt_stored_twice_leaves_its_rows_once(store: RunStore) -> None:
    store.append(RECORD)
    store.append(RECORD)
    assert len(files(store)) == 1
    assert len(store.records("quick-start")) == len(RECORD.metrics)


def test_every_failed_attempt_leaves_a_row(store: RunStore) -> None:
    store.append(FAILED)
    store.append(replace(FAILED, attempt=1))
    assert list(store.records("quick-start")["attempt"]) == [0, 1]


ATTEMPTS = (FAILED, replace(FAILED, attempt=1, status="pruned"), replace(RECORD, attempt=2))


@pytest.mark.parametrize("order", tuple(permutations(ATTEMPTS)))
def test_a_finished_run_is_counted_once_whatever_came_before_or_after(
    store: RunStore, order: tuple[RunRecord, ...]
) -> None:
    for record in order:
        store.append(record)
    finished = store.finished("quick-start")
    assert list(finished["value"]) == [metric.value for metric in RECORD.metrics]


def test_an_ok_attempt_removes_the_failed_ones(store: RunStore) -> None:
    store.append(replace(FAILED, attempt=4))
    store.append(FAILED)
    store.append(replace(RECORD, attempt=1))
    assert [Path(file).name for file in files(store)] == ["0123456789abcdef-1.parquet"]


@pytest.mark.parametrize("order", [(0, 10, 9), (10, 9, 0), (9, 10, 0)])
def test_of_several_ok_attempts_the_last_stays(store: RunStore, order: tuple[int, ...]) -> None:
    for attempt in order:
        store.append(replace(RECORD, attempt=attempt))
    assert [Path(file).name for file in files(store)] == ["0123456789abcdef-10.parquet"]


@pytest.mark.parametrize(
    ("earlier", "left"),
    [(None, [3]), (range(3), [3]), ((), [0, 2, 3]), ((0,), [2, 3]), ((1, 3), [0, 2, 3])],
)
def test_a_writer_that_names_the_earlier_attempts_has_no_file_looked_for(
    store: RunStore, earlier: Collection[int] | None, left: list[int]
) -> None:
    for attempt in (0, 2):
        store.append(replace(FAILED, attempt=attempt))
    store.append(replace(RECORD, attempt=3), earlier=earlier)
    assert files(store) == [
        f"study=quick-start/method=learner+fixer/{RECORD.run_id}-{number}.parquet"
        for number in left
    ]
    assert len(store.finished("quick-start")) == len(RECORD.metrics)


@pytest.mark.parametrize("stored", [True, False])
def test_a_file_that_is_removed_is_gone(store: RunStore, stored: bool) -> None:
    if stored:
        store.write_file("_runs/quick-start/a.json", b"{}")
    store.remove_file("_runs/quick-start/a.json")
    assert store.find_file("_runs/quick-start/a.json") == b""
    assert files(store) == []


def test_pictures_of_a_run_that_ended_well_lie_beside_its_rows(store: RunStore) -> None:
    store.append(replace(FAILED, pictures=b"lost"))
    assert store.find_file(picture_name("quick-start", FAILED.run_id)) == b""
    store.append(replace(RECORD, pictures=b"kept"))
    assert store.find_file(picture_name("quick-start", RECORD.run_id)) == b"kept"


def test_a_picture_that_cannot_be_written_is_named_and_costs_no_row(
    store: RunStore,
) -> None:
    store.write_file("_pictures", b"")
    with pytest.raises(ResultsError, match=r"_pictures/.*: cannot write"):
        store.append(replace(RECORD, pictures=b"lost"))
    assert set(store.finished("quick-start")["run_id"]) == {RECORD.run_id}


def test_the_version_changes_with_every_run_that_is_stored(store: RunStore) -> None:
    empty = store.version()
    store.append(RECORD)
    rows = store.version()
    store.write_file("_runs/quick-start/a.json", b"{}")
    assert rows == store.version() != empty
    store.write_file(picture_name("quick-start", RECORD.run_id), b"later than its rows")
    assert store.version() != rows
    store.append(RECORD)
    first = store.version()
    store.append(replace(RECORD, run_id="other"))
    assert store.version() != first


def test_an_ok_attempt_leaves_other_runs_alone(store: RunStore) -> None:
    store.append(replace(FAILED, run_id="0123456789abcdef-1"))
    store.append(RECORD)
    assert len(files(store)) == 2


def test_a_late_failure_of_the_same_attempt_does_not_replace_its_result(store: RunStore) -> None:
    store.append(RECORD)
    store.append(FAILED)
    assert len(store.finished("quick-start")) == len(RECORD.metrics)


def test_finished_gives_no_run_that_failed_or_was_pruned(store: RunStore) -> None:
    store.append(FAILED)
    store.append(replace(RECORD, run_id="pruned", status="pruned"))
    assert store.finished("quick-start").empty


@READERS
def test_a_file_that_a_killed_writer_left_is_not_read(store: RunStore, read: Reader) -> None:
    store.append(RECORD)
    (whole,) = Path(store.root).rglob("*.parquet")
    half = whole.read_bytes()[: whole.stat().st_size // 2]
    whole.with_name(".ffff-0.parquet.123.unfinished").write_bytes(half)
    assert len(read(store.root)) == len(store.records("quick-start")) == len(RECORD.metrics)


def writer(root: str, name: str, runs: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.results.records", root, name, str(runs)]
    return subprocess.Popen(command, cwd=REPOSITORY)


def test_two_processes_that_store_at_a_time_lose_and_double_nothing(store: RunStore) -> None:
    writers = [writer(store.root, name, 25) for name in ("a", "b")]
    assert [process.wait(60) for process in writers] == [0, 0]
    rows = store.records("quick-start")
    assert rows["run_id"].nunique() == 2 * 20 + 1
    assert not rows.duplicated(["run_id", "suite", "task", "metric"]).any()


def test_a_writer_that_is_killed_leaves_whole_files_only(store: RunStore) -> None:
    process = writer(store.root, "a", 0)
    deadline = time.monotonic() + 60
    while len(files(store)) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait(10)
    rows = store.finished("quick-start")
    assert rows["run_id"].nunique() >= 15
    assert set(rows.groupby("run_id").size()) == {len(RECORD.metrics)}


def test_a_reader_beside_a_writer_that_withdraws_files_sees_whole_runs(store: RunStore) -> None:
    process = writer(store.root, "a", 150)
    while process.poll() is None:
        rows = store.finished("quick-start")
        assert set(rows.groupby("run_id").size()) <= {len(RECORD.metrics)}
    assert process.returncode == 0


def test_files_of_an_older_version_are_read_beside_new_ones(store: RunStore) -> None:
    older: dict[str, type[Hyper]] = {"fixer": Fixer}
    RunStore(store.root, older).append(replace(RECORD, stages="fixer", hyper={"fixer.rank": 2}))
    store.append(replace(RECORD, run_id="new"))
    rows = store.records("quick-start").drop_duplicates("run_id").set_index("run_id")
    assert rows["learner.steps"].to_dict() == {
        "new": 20.0,
        RECORD.run_id: pytest.approx(float("nan"), nan_ok=True),
    }


def test_files_of_a_newer_version_keep_their_columns(store: RunStore) -> None:
    store.append(RECORD)
    older = RunStore(store.root, {})
    assert set(older.records("quick-start")["learner.steps"]) == {20}


def test_files_that_disagree_about_a_type_are_an_error(store: RunStore) -> None:
    store.append(RECORD)
    folder = Path(store.root) / "study=quick-start" / "method=learner"
    folder.mkdir()
    pq.write_table(pa.table({"learner.mode": pa.array([True])}), folder / "x-0.parquet")
    with pytest.raises(ResultsError, match=r"study=quick-start: cannot read.*learner\.mode"):
        store.records("quick-start")


def test_a_broken_file_is_an_error(store: RunStore) -> None:
    store.append(RECORD)
    (whole,) = Path(store.root).rglob("*.parquet")
    whole.write_bytes(b"PAR1")
    with pytest.raises(ResultsError, match="cannot read the results"):
        store.records("quick-start")


def test_the_studies_of_a_dataset_are_listed(store: RunStore) -> None:
    store.append(replace(RECORD, study="b"))
    store.append(replace(FAILED, study="a"))
    assert store.studies() == ["a", "b"]


@READERS
def test_a_file_beside_the_rows_comes_back_and_is_no_row(store: RunStore, read: Reader) -> None:
    store.append(RECORD)
    store.write_file("_best/quick-start/tower.safetensors", b"weights")
    assert store.read_file("_best/quick-start/tower.safetensors") == b"weights"
    assert len(read(store.root)) == len(RECORD.metrics)


def test_a_missing_file_beside_the_rows_is_an_error(store: RunStore) -> None:
    with pytest.raises(ResultsError, match="_best/none: cannot read"):
        store.read_file("_best/none")


@pytest.mark.parametrize(
    "change",
    [{"study": "a/b"}, {"study": ""}, {"stages": "a b"}, {"run_id": "../x"}, {"stages": "a%2Bb"}],
)
def test_names_that_would_change_the_path_are_refused(
    store: RunStore, change: dict[str, str]
) -> None:
    with pytest.raises(ResultsError, match=next(iter(change))):
        store.append(replace(RECORD, **change))  # type: ignore[arg-type]  # str fields only


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(ResultsError, match="cannot write"):
        RunStore(str(tmp_path / "results"), HYPERS).append(RECORD)


def test_an_unknown_kind_of_url_is_an_error() -> None:
    with pytest.raises(ResultsError, match="expected s3://BUCKET/PREFIX"):
        RunStore("ftp://host/results", HYPERS).records("quick-start")


def test_a_file_url_names_the_same_place_as_its_path(store: RunStore) -> None:
    RunStore(f"file://{store.root}", HYPERS).append(RECORD)
    assert len(store.records("quick-start")) == len(RECORD.metrics)


def test_a_relative_root_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    RunStore("out", HYPERS).append(RECORD)
    assert len(RunStore(str(tmp_path / "out"), HYPERS).records("quick-start")) == 4


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAME = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,8}", fullmatch=True)
INT64 = st.integers(-(2**63), 2**63 - 1)
FLOAT = st.floats(allow_nan=False)
TIME = st.datetimes(
    datetime(1970, 1, 2), datetime(2200, 1, 1),  # noqa: DTZ001  # the time zone comes separately
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=2))]),
)  # fmt: skip
METRIC = st.builds(
    Metric, TEXT, TEXT, TEXT, FLOAT, st.none() | TEXT, st.none() | INT64, st.none() | TEXT
)
HYPER = st.fixed_dictionaries(
    {},
    optional={
        "learner.lr": FLOAT,
        "learner.steps": INT64,
        "learner.mode": TEXT,
        "learner.clamp": st.booleans(),
        "fixer.rank": INT64,
    },
)
STRATEGIES: dict[type[object] | object, st.SearchStrategy[object]] = {
    str: TEXT, int: INT64, float: FLOAT, datetime: TIME, str | None: st.none() | TEXT,
}  # fmt: skip
NAMED: dict[str, st.SearchStrategy[object]] = {
    "run_id": NAME, "study": NAME, "stages": NAME, "attempt": st.integers(0, 10**6),
    "status": st.sampled_from(["ok", "error", "pruned"]), "hyper": HYPER,
    "metrics": st.lists(METRIC, max_size=3).map(tuple), "pictures": st.binary(max_size=9),
}  # fmt: skip
VALUES = st.fixed_dictionaries(
    {field.name: STRATEGIES[field.type] for field in fields(RunRecord) if field.name not in NAMED}
    | NAMED
)


@settings(max_examples=60, deadline=None)
@given(values=VALUES)
def test_what_is_stored_is_what_is_read(values: dict[str, Any]) -> None:
    record = RunRecord(**values)
    with tempfile.TemporaryDirectory() as root:
        RunStore(root, HYPERS).append(record)
        (path,) = Path(root).rglob("*.parquet")
        rows = pq.read_table(path, partitioning=None).to_pylist()
        assert path.parent.relative_to(root) == Path(
            f"study={record.study}", f"method={record.stages}"
        )
    constants = (
        asdict(record) | {name: None for name in rows[0] if "." in name} | dict(record.hyper)
    )
    metrics = [metric._asdict() for metric in record.metrics] or [dict.fromkeys(Metric._fields)]
    wanted = [constants | {"schema_version": 1} | metric for metric in metrics]
    assert rows == [{name: row[name] for name in rows[0]} for row in wanted]


def test_importing_results_loads_neither_torch_nor_ray_nor_pandas_nor_pyarrow() -> None:
    heavy = {"torch", "ray", "pandas", "pyarrow"}
    code = f"import sys, distmerge.results; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
