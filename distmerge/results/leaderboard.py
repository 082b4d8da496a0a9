"""Each method's best configuration by the select images, shown with its report accuracy."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from distmerge.results.attempts import last_attempts
from distmerge.results.collapse import ADAPT, suspicions
from distmerge.results.record import Metric
from distmerge.results.runs import (
    INPUTS,
    REFERENCES,
    SUITE_PREFIX,
    TASK_PREFIX,
    chosen_runs,
    last_criterion,
    of_study,
    run_table,
)

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "method",
    "reference",
    "run_id",
    "criterion",
    "score",
    "accuracy",
    "spread",
    "seeds",
    "lost",
    "retained",
    "trials",
    "failed",
    "collapse",
    "cost_s",
    "total_s",
    *INPUTS,
)


def leaderboard(rows: "pd.DataFrame", study: str | None = None) -> "pd.DataFrame":
    """Give one row per method of a study, best first, then the references.

    A method's run is the one with the highest score on the select images; report accuracy plays
    no part in the choice, and a run that failed, was pruned or has a number that is not finite is
    never chosen. Runs that differ in the seed alone are one configuration: the smallest seed's
    stands for it in the choice, and accuracies and cost are means over its seeds. Scores by
    different criteria do not compare: the criterion is that of the merged run started last, and a
    run scored by another is only counted. Of a reference, the latest run counts.

    Columns: ``method``, ``reference``, ``run_id``, ``criterion`` (null for references), ``score``
    (by that criterion), ``accuracy`` (mean of the tasks), ``spread`` (its standard deviation over
    ``seeds``, NaN for one), ``lost`` (share of it lost at the highest level of corruption),
    ``retained`` (mean over tasks of accuracy / the individual model's), ``trials`` (configurations
    that ended well), ``failed``, ``collapse`` (what looks like one in any of its seeds, in
    words; empty where nothing does), ``cost_s`` (of a run, its evaluation included), ``total_s``
    (of every stored attempt), what it ran on (``INPUTS``), then ``accuracy.TASK`` per task and
    ``mean.SUITE`` per level of corruption, for unseen tasks and, of routed models, ``mean.routing``
    and ``mean.withheld``. A method without a usable run has counts only.

    Args:
        rows: the results table, from ``load`` or ``pandas.read_parquet``.
        study: whose runs to compare; may be left out where the table holds one study.

    Raises:
        ResultsError: the table holds no run of that study, or several studies and none is named.
    """
    import pandas as pd

    own = of_study(rows, study)
    counted = last_attempts(own)
    runs = run_table(counted)
    criterion = last_criterion(runs)
    tasks = [name for name in runs.columns if name.startswith(TASK_PREFIX)]
    suites = [name for name in runs.columns if name.startswith(SUITE_PREFIX)]
    chosen = _chosen(runs, ["accuracy", "cost_s", *tasks, *suites])
    counts = _counts(counted, own, runs.index[runs["repeats"]])
    table = pd.concat([counts, chosen], axis="columns").reset_index(names="method")
    table["reference"] = table["method"].isin(REFERENCES)
    table["criterion"] = [None if reference else criterion for reference in table["reference"]]
    table["collapse"] = _suspicions(counted, table["run_ids"])
    table["retained"] = _retained(table.set_index("method")[tasks]).to_numpy()
    table["lost"] = _lost(table)
    table["seeds"] = table["seeds"].fillna(0).astype(int)
    ordered = table.sort_values(
        ["reference", "accuracy", "method"], ascending=[True, False, True], ignore_index=True
    )
    return ordered[[*COLUMNS, *tasks, *suites]]


def task_columns(table: "pd.DataFrame") -> dict[str, str]:
    """Give the leaderboard's column of every task, in the order of the study."""
    return {
        name.removeprefix(TASK_PREFIX): name
        for name in table.columns
        if name.startswith(TASK_PREFIX)
    }


def suite_columns(table: "pd.DataFrame") -> dict[str, str]:
    """Give the leaderboard's column of every suite beside the clean one."""
    return {
        name.removeprefix(SUITE_PREFIX): name
        for name in table.columns
        if name.startswith(SUITE_PREFIX)
    }


def _chosen(runs: "pd.DataFrame", averaged: list[str]) -> "pd.DataFrame":
    """Give the run to show of every method, indexed by method; ``averaged`` over its seeds."""
    chosen = chosen_runs(runs)
    per_seed = chosen.groupby("method")
    return (
        chosen.drop_duplicates("method")
        .set_index("method")
        .assign(
            **{name: per_seed[name].mean() for name in averaged},
            run_ids=per_seed["run_id"].agg(tuple),
            spread=per_seed["accuracy"].std(),
            seeds=per_seed.size(),
        )
    )


def _counts(
    counted: "pd.DataFrame", attempts: "pd.DataFrame", repeats: "pd.Index[str]"
) -> "pd.DataFrame":
    """Give trials that ended well, runs that failed, and seconds spent, indexed by method."""
    import pandas as pd

    runs = counted.drop_duplicates("run_id")
    is_trial = (runs["status"] == "ok") & ~runs["run_id"].isin(repeats)
    spent = attempts.astype({"method": str}).drop_duplicates(["run_id", "attempt"])
    return pd.DataFrame(
        {
            "trials": is_trial.groupby(runs["method"]).sum(),
            "failed": (runs["status"] == "error").groupby(runs["method"]).sum(),
            "total_s": spent.groupby("method")["wall_s"].sum(),
        }
    )


def _suspicions(counted: "pd.DataFrame", run_ids: "pd.Series[Any]") -> list[str]:
    """Give what looks like a collapse in any of each method's runs, in words."""
    shown = run_ids.map(lambda found: found if isinstance(found, tuple) else ())
    watched = counted[(counted["suite"] == ADAPT) & counted["run_id"].isin(set(sum(shown, ())))]
    said = {
        run_id: (", ".join(found), f" (seed {rows['seed'].iloc[0]})")
        for run_id, rows in watched.groupby("run_id")
        if (found := suspicions(_metrics(rows)))
    }
    return [
        "; ".join(
            said[run_id][0] + said[run_id][1] * (len(ids) > 1) for run_id in ids if run_id in said
        )
        for ids in shown
    ]


def _metrics(rows: "pd.DataFrame") -> Iterator[Metric]:
    columns = rows[["suite", "task", "metric", "value"]]
    return (Metric(*row) for row in columns.itertuples(index=False))


def _lost(table: "pd.DataFrame") -> "pd.Series[float]":
    """Give the share of clean accuracy that is lost at the highest level, NaN without levels."""
    levels = [name for name in table.columns if name.startswith(f"{SUITE_PREFIX}L")]
    highest = table[max(levels)] if levels else math.nan
    return 1 - highest / table["accuracy"].where(table["accuracy"] > 0)


def _retained(accuracies: "pd.DataFrame") -> "pd.Series[float]":
    """Give the mean over tasks of accuracy / individual accuracy, NaN where one is missing."""
    individual = accuracies.reindex(["individual"]).iloc[0]
    ratios = accuracies / individual.where(individual > 0)
    return ratios.mean(axis="columns", skipna=False)
