"""Each method's best configuration by the select images, shown with its report accuracy."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from distmerge.errors import ResultsError
from distmerge.results import ADAPT, MEAN, Metric, last_attempts, suspicions

if TYPE_CHECKING:
    import pandas as pd

REFERENCES = ("individual", "pretrained", "one_expert", "nearest_centroid")
"""Methods that merge nothing: what a merged model is measured against."""

TASK_PREFIX = "accuracy."
SUITE_PREFIX = "mean."
SCORE_PREFIX = "score:"

ROUTING = {"routing": "routing_accuracy", "withheld": "accuracy_withheld"}
"""What routed models are measured by beside accuracy: the column and its metric."""

INPUTS = ("protocol", "num_tasks", "base_digest", "checkpoint_digests", "data_digest")
"""What the runs of one table should have in common."""

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


def leaderboard(rows: "pd.DataFrame", study: str) -> "pd.DataFrame":
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
        rows: the results table, from ``RunStore.records`` or ``pandas.read_parquet``.
        study: whose runs to compare.

    Raises:
        ResultsError: the table holds no run of that study.
    """
    import pandas as pd

    own = rows[rows["study"].astype(str) == study]
    if own.empty:
        known = ", ".join(sorted(rows["study"].astype(str).unique())) or "none"
        raise ResultsError(f"no run of study {study!r}; studies in the table: {known}")
    counted = last_attempts(own.astype({"study": str, "method": str}))
    runs = _runs(counted)
    criterion = _criterion(runs)
    runs["score"] = runs["score"].where(runs["criterion"] == criterion)
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


def _runs(counted: "pd.DataFrame") -> "pd.DataFrame":
    """Give one row per ok run: what it is, its score, its mean and per-task accuracy."""
    ok = counted[counted["status"] == "ok"]
    runs = ok.drop_duplicates("run_id").set_index("run_id")
    metrics = ok["metric"].astype(str)
    is_score = (ok["suite"] == "select") & metrics.str.startswith(SCORE_PREFIX)
    scores = ok[is_score & (ok["task"] == MEAN)].set_index("run_id")
    runs["criterion"] = scores["metric"].astype(str).str.removeprefix(SCORE_PREFIX)
    settings = ["method", "criterion", *INPUTS, *(name for name in ok.columns if "." in name)]
    configuration = runs.groupby(settings, dropna=False, sort=False)
    runs["configuration"] = configuration.ngroup()
    runs["repeats"] = runs["seed"] > configuration["seed"].transform("min")
    kept = ["method", "started_at", "seed", "criterion", "configuration", "repeats", "wall_s"]
    runs = runs[[*kept, *INPUTS]].rename(columns={"wall_s": "cost_s"})
    runs["score"] = scores["value"]
    clean = ok[(ok["suite"] == "clean") & (ok["metric"] == "accuracy")]
    runs["accuracy"] = clean[clean["task"] == MEAN].set_index("run_id")["value"]
    for task in (name for name in clean["task"].unique() if name != MEAN):
        runs[TASK_PREFIX + task] = clean[clean["task"] == task].set_index("run_id")["value"]
    means = ok[(ok["metric"] == "accuracy") & (ok["task"] == MEAN) & ok["corruption"].isna()]
    for level in sorted(means["level"].dropna().unique()):
        runs[SUITE_PREFIX + level] = means[means["level"] == level].set_index("run_id")["value"]
    if (means["suite"] == "unseen").any():
        unseen = means[means["suite"] == "unseen"]
        runs[f"{SUITE_PREFIX}unseen"] = unseen.set_index("run_id")["value"]
    for name, metric in ROUTING.items():
        routed = ok[(ok["suite"] == "clean") & (metrics == metric) & (ok["task"] == MEAN)]
        if not routed.empty:
            runs[SUITE_PREFIX + name] = routed.set_index("run_id")["value"]
    return runs


def _criterion(runs: "pd.DataFrame") -> str | None:
    """Give what the merged run started last was scored by, None without a score."""
    merged = runs[~runs["method"].isin(REFERENCES)].dropna(subset="criterion").reset_index()
    latest = merged.sort_values(["started_at", "run_id"])["criterion"].tail(1)
    return None if latest.empty else str(latest.item())


def _chosen(runs: "pd.DataFrame", averaged: list[str]) -> "pd.DataFrame":
    """Give the run to show of every method, indexed by method; ``averaged`` over its seeds."""
    import pandas as pd

    latest = runs[_is_finite(runs["accuracy"])].reset_index()
    latest = latest.sort_values(["started_at", "run_id"], ascending=False)
    is_reference = latest["method"].isin(REFERENCES)
    merged = latest[~is_reference & _is_finite(latest["score"])]
    # Equal scores: the smaller run id, so that the same rows always give the same table.
    by_score = merged.sort_values(["score", "run_id"], ascending=[False, True])
    ranked = pd.concat([by_score[~by_score["repeats"]], latest[is_reference]])
    shown = ranked.drop_duplicates("method")
    repeats = merged[merged["repeats"] & merged["configuration"].isin(shown["configuration"])]
    per_seed = pd.concat([shown, repeats]).drop_duplicates(["method", "seed"]).groupby("method")
    return shown.set_index("method").assign(
        **{name: per_seed[name].mean() for name in averaged},
        run_ids=per_seed["run_id"].agg(tuple),
        spread=per_seed["accuracy"].std(),
        seeds=per_seed.size(),
    )


def _is_finite(values: "pd.Series[float]") -> "pd.Series[bool]":
    return values.astype(float).abs() < float("inf")


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
