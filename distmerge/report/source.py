"""What a report is made from: one study's rows, and the recipes beside them."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from distmerge.report.pictures import Pictures, read_pictures
from distmerge.results import (
    MEAN,
    REFERENCES,
    RunStore,
    last_attempts,
    leaderboard,
    load,
    picture_name,
    runs,
    task_columns,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class StudyResults:
    """One study as its Parquet files tell it."""

    place: str
    name: str
    rows: "pd.DataFrame"
    """Of the attempt that counts of every run."""
    board: "pd.DataFrame"
    """From ``leaderboard``."""
    runs: "pd.DataFrame"
    """From ``runs``."""
    store: RunStore

    @cached_property
    def usable(self) -> "pd.DataFrame":
        """The rows of the leaderboard that have an accuracy."""
        return self.board[self.board["accuracy"].notna()].reset_index(drop=True)

    @cached_property
    def series(self) -> tuple[str, ...]:
        """The merged methods with a usable run, best first."""
        return tuple(self.usable["method"][~self.usable["reference"]])

    @cached_property
    def tasks(self) -> dict[str, str]:
        """The leaderboard's column of every task."""
        return task_columns(self.board)

    @cached_property
    def chosen(self) -> dict[str, tuple[str, ...]]:
        """The runs that every method's numbers are means of: one per seed."""
        found = {}
        for method, run_id in zip(self.usable["method"], self.usable["run_id"], strict=True):
            own = self.runs[self.runs["configuration"] == self.runs.at[run_id, "configuration"]]
            latest = own.sort_values(["seed", "started_at"]).drop_duplicates("seed", keep="last")
            ids = (run_id,) if method in REFERENCES else tuple(latest.index)
            found[method] = ids
        return found

    @cached_property
    def firsts(self) -> dict[str, str]:
        """The best run of every merged method, the best method first."""
        ids = dict(zip(self.usable["method"], self.usable["run_id"], strict=True))
        return {method: ids[method] for method in self.series}

    @cached_property
    def pictures(self) -> dict[str, Pictures]:
        """What the best run of every merged method kept for its report, if it did."""
        places = {method: picture_name(self.name, run) for method, run in self.firsts.items()}
        read = {
            method: read_pictures(self.store.find_file(place), place)
            for method, place in places.items()
        }
        return {method: found for method, found in read.items() if found}

    @cached_property
    def means(self) -> "pd.DataFrame":
        """The rows that hold means over tasks, clean or of the search: what queries need."""
        is_mean = (self.rows["task"] == MEAN) & self.rows["suite"].isin(["clean", "select"])
        return self.rows[is_mean]

    def measured(self, metric: str, suite: str) -> "pd.DataFrame":
        """Give a metric of every method's chosen runs, means over seeds.

        Columns: ``method``, ``level``, ``task``, ``value``; methods in the order of the
        leaderboard.
        """
        ids = {run_id for found in self.chosen.values() for run_id in found}
        is_asked = (self.rows["suite"] == suite) & (self.rows["metric"] == metric)
        own = self.rows[is_asked & self.rows["run_id"].isin(ids) & self.rows["corruption"].isna()]
        keys = ["method", "level", "task"]
        means = own.groupby(keys, dropna=False, sort=False)["value"].mean().reset_index()
        order = {method: i for i, method in enumerate(self.usable["method"])}
        return means.sort_values("method", key=lambda m: m.map(order), kind="stable")

    def mean_over_tasks(self, metric: str, suite: str) -> "pd.DataFrame":
        """Give ``measured`` of the mean over tasks alone."""
        found = self.measured(metric, suite)
        return found[found["task"] == MEAN]


def read_study(root: str, study: str | None = None) -> StudyResults:
    """Give a study of a results dataset.

    Args:
        root: folder, or URL such as ``s3://bucket/prefix``.
        study: may be left out where the dataset holds one.

    Raises:
        ConfigError: there is no such study, or several and none is named.
        ResultsError: there is no such dataset, or it is unreadable.
    """
    store = RunStore(root, {})
    name = store.chosen_study(study)
    own = load(root, name).astype({"study": str, "method": str})
    return StudyResults(
        place=root,
        name=name,
        rows=last_attempts(own),
        board=leaderboard(own),
        runs=runs(own),
        store=store,
    )
