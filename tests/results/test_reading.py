from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distmerge.errors import ResultsError
from distmerge.methods import HYPERS
from distmerge.results import Metric, RunStore, best, leaderboard, load, pareto
from distmerge.results.files import Folder, open_folder
from distmerge.results.reading import read_rows
from distmerge.results.schema import arrow_schema
from tests.results.records import RECORD
from tests.spec.hypers import HYPERS as INVENTED

SCHEMA = arrow_schema(HYPERS)


class Vanishing(Folder):
    """Lists a file that is never there, as a writer in a hurry might leave it."""

    def parquet_files(self, path: str) -> list[str]:
        return [f"{path}/method=m/gone.parquet"]


def test_a_study_without_files_has_every_column_and_no_row(tmp_path: Path) -> None:
    rows = read_rows(open_folder(str(tmp_path)), "s", SCHEMA)
    assert rows.empty
    assert set(rows.columns) == {*SCHEMA.names, "study", "method"}


def test_files_that_keep_vanishing_are_an_error_after_a_few_looks(tmp_path: Path) -> None:
    folder = open_folder(str(tmp_path))
    with pytest.raises(ResultsError, match="files kept vanishing in 5 looks"):
        read_rows(Vanishing(folder.filesystem, folder.root), "s", SCHEMA)


def test_the_schema_is_one_of_arrow() -> None:
    assert isinstance(SCHEMA, pa.Schema)


UNKNOWN_THEN = ["level", "severity", "corruption", "git_commit", "gpu_s", "learner.mode"]
MEANS = {"agreement": 0.75, "entropy": 0.5, "accuracy": 0.25}


def store_old(root: Path, criterion: str, run_id: str = "old") -> None:
    """Store a run as an early version did: fewer columns, and a score that names no criterion."""
    score = -MEANS["entropy"] if criterion == "entropy" else MEANS[criterion]
    shown = MEANS if criterion == "accuracy" else {k: MEANS[k] for k in ("agreement", "entropy")}
    metrics = (
        *(Metric("select", "mean", name, value) for name, value in shown.items()),
        Metric("select", "mean", "score", score),
        Metric("clean", "alpha", "accuracy", 0.5),
        Metric("clean", "mean", "accuracy", 0.5),
    )
    RunStore(str(root), INVENTED).append(replace(RECORD, run_id=run_id, metrics=metrics))
    (path,) = root.rglob(f"{run_id}-0.parquet")
    pq.write_table(pq.read_table(path, partitioning=None).drop_columns(UNKNOWN_THEN), path)


@pytest.mark.parametrize("criterion", list(MEANS))
def test_a_score_of_an_early_version_gets_the_name_of_its_criterion(
    criterion: str, tmp_path: Path
) -> None:
    store_old(tmp_path, criterion)
    assert f"score:{criterion}" in set(load(str(tmp_path))["metric"])
    assert "score" not in set(load(str(tmp_path))["metric"])


def test_runs_of_an_early_version_compete_with_todays(tmp_path: Path) -> None:
    store_old(tmp_path, "agreement")
    metrics = (
        Metric("select", "mean", "score:agreement", 0.5),
        Metric("clean", "alpha", "accuracy", 0.75),
        Metric("clean", "mean", "accuracy", 0.75),
    )
    RunStore(str(tmp_path), INVENTED).append(replace(RECORD, run_id="new", metrics=metrics))
    rows = load(str(tmp_path))
    assert best(rows).index.tolist() == leaderboard(rows)["run_id"].tolist() == ["old"]
    assert best(rows, by="accuracy").index.tolist() == ["new"]
    assert len(pareto(rows, objectives=["score", "accuracy"])) == 2


def test_rows_of_a_newer_schema_are_refused(tmp_path: Path) -> None:
    RunStore(str(tmp_path), INVENTED).append(RECORD)
    (path,) = tmp_path.rglob("*.parquet")
    table = pq.read_table(path, partitioning=None).drop_columns(["schema_version"])
    pq.write_table(table.append_column("schema_version", pa.array([99] * 4)), path)
    with pytest.raises(ResultsError, match=r"newer distmerge \(schema version 99.*update"):
        load(str(tmp_path))


def test_all_studies_of_a_dataset_are_loaded_or_one(tmp_path: Path) -> None:
    store = RunStore(str(tmp_path), INVENTED)
    for study in ("one", "two"):
        store.append(replace(RECORD, run_id=study, study=study))
    store.write_file("_studies/rows.parquet", b"no rows")
    assert set(load(str(tmp_path))["study"]) == {"one", "two"}
    assert set(load(str(tmp_path), "two")["run_id"]) == {"two"}


@pytest.mark.parametrize(("study", "match"), [(None, "no results here"), ("s", "no study 's'")])
def test_nothing_to_load_is_an_error(study: str | None, match: str, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=match):
        load(str(tmp_path), study)
