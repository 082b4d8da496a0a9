"""One row per run that ended well: its settings, score, accuracies and cost."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from distmerge.errors import ConfigError, ResultsError
from distmerge.results.attempts import last_attempts
from distmerge.results.collapse import MEAN

if TYPE_CHECKING:
    import pandas as pd

REFERENCES = ("individual", "pretrained", "one_expert", "nearest_centroid")
"""Methods that merge nothing: what a merged model is measured against."""

TASK_PREFIX = "accuracy."
SUITE_PREFIX = "mean."
SCORE_PREFIX = "score:"

ROUTING = {"routing": "routing_accuracy", "withheld": "accuracy_withheld"}
"""What routed models are measured by beside accuracy: the column and its metric."""

INPUTS = (
    *("protocol", "num_tasks", "base_digest", "checkpoint_digests", "data_digest"),
    *("bank", "precision"),
)
"""What the runs of one table should have in common."""
_FIRST = "float32"  # bank and precision of rows that are older than these columns

COSTS = {"cost_s": "wall_s", "gpu_s": "gpu_s", "peak_memory_bytes": "peak_memory_bytes"}
"""What a run spends, evaluation included: the measure and its column. Less is better."""


def runs(rows: "pd.DataFrame", study: str | None = None) -> "pd.DataFrame":
    """Give one row per run of a study that ended well, indexed by ``run_id``.

    Columns: ``method``, ``seed``, ``started_at``, ``criterion`` (what the search scored it by),
    ``configuration`` (a number that runs share which differ in the seed alone), ``repeats``
    (whether a smaller seed of its configuration was run), what it ran on (``INPUTS``), one per
    setting, then its measures: ``score`` (NaN by another criterion than that of the merged run
    started last: such scores do not compare), ``accuracy`` (mean of the tasks, clean), what it
    cost (``COSTS``), ``accuracy.TASK`` per task and ``mean.SUITE`` per level of corruption, for
    unseen tasks and, of routed models, ``mean.routing`` and ``mean.withheld``.

    Args:
        rows: the results table, from ``load`` or ``pandas.read_parquet``.
        study: whose runs; may be left out where the table holds one study.

    Raises:
        ResultsError: the table holds no run of that study, or several studies and none is named.
    """
    table = run_table(last_attempts(of_study(rows, study)))
    return table.drop(columns=[name for name in setting_columns(table) if table[name].isna().all()])


def of_study(rows: "pd.DataFrame", study: str | None) -> "pd.DataFrame":
    """Give the rows of a study, of every attempt; study and method as text.

    Raises:
        ResultsError: the table holds no run of that study, or several studies and none is named.
    """
    names = sorted(rows["study"].astype(str).unique())
    known = ", ".join(names) or "none"
    if study is None and len(names) > 1:
        raise ResultsError(f"got no study; the table holds {len(names)}, name one: {known}")
    wanted = study or "".join(names)
    if wanted not in names:
        raise ResultsError(f"no run of study {wanted!r}; studies in the table: {known}")
    return rows[rows["study"].astype(str) == wanted].astype({"study": str, "method": str})


def run_table(counted: "pd.DataFrame") -> "pd.DataFrame":
    """Give the table of ``runs``, with every setting's column, from the attempts that count."""
    import pandas as pd

    ok = counted[counted["status"] == "ok"]
    table = ok.drop_duplicates("run_id").set_index("run_id")
    types = table.reindex(columns=["bank", "precision"]).astype(object)
    table[["bank", "precision"]] = types.where(types.notna(), _FIRST)
    metrics = ok["metric"].astype(str)
    is_score = (ok["suite"] == "select") & metrics.str.startswith(SCORE_PREFIX)
    scores = ok[is_score & (ok["task"] == MEAN)].drop_duplicates("run_id").set_index("run_id")
    table["criterion"] = scores["metric"].astype(str).str.removeprefix(SCORE_PREFIX)
    settings = [name for name in ok.columns if "." in name]
    configuration = table.groupby(
        ["method", "criterion", *INPUTS, *settings], dropna=False, sort=False
    )
    table["configuration"] = configuration.ngroup()
    table["repeats"] = table["seed"] > configuration["seed"].transform("min")
    kept = ["method", "seed", "started_at", "criterion", "configuration", "repeats"]
    costs = table[list(COSTS.values())].set_axis(list(COSTS), axis="columns")
    table = table[[*kept, *INPUTS, *settings]]
    table["score"] = scores["value"].where(table["criterion"] == last_criterion(table))
    accuracies = {name: s.reindex(table.index) for name, s in _accuracies(ok).items()}
    return pd.concat([table, pd.DataFrame(accuracies, index=table.index), costs], axis="columns")


def chosen_runs(table: "pd.DataFrame", by: str = "score") -> "pd.DataFrame":
    """Give every method's best run by a measure, best first, and of every reference the latest.

    After them come the runs of the same configurations with other seeds, each seed once; they
    play no part in the choice. A run whose measure or accuracy is not finite is never chosen.

    Raises:
        ConfigError: the table has no such measure.
    """
    import pandas as pd

    ranked = table.assign(gain=gain(table, by))[gain(table, "accuracy").notna()].reset_index()
    latest = ranked.sort_values(["started_at", "run_id"], ascending=False)
    is_reference = latest["method"].isin(REFERENCES)
    merged = latest[~is_reference & latest["gain"].notna()]
    # Equal gains: the smaller run id, so that the same rows always give the same table.
    best_first = merged.sort_values(["gain", "run_id"], ascending=[False, True])
    first = pd.concat([best_first[~best_first["repeats"]], latest[is_reference]])
    first = first.drop_duplicates("method")
    repeats = merged[merged["repeats"] & merged["configuration"].isin(first["configuration"])]
    return (
        pd.concat([first, repeats])
        .drop_duplicates(["method", "seed"], ignore_index=True)
        .drop(columns="gain")
    )


def configurations(table: "pd.DataFrame", measures: Sequence[str]) -> "pd.DataFrame":
    """Give one row per configuration of a merging method: its first seed's, means for measures.

    Only runs count whose accuracy and ``measures`` are finite, of a seed that was run twice the
    later one. Beside the columns of ``runs`` there are ``spread`` (standard deviation of the first
    of ``measures`` over seeds, NaN for one), ``seeds`` and ``run_ids``.

    Raises:
        ConfigError: the table has no such measure.
    """
    merged = table[~table["method"].isin(REFERENCES)]
    for name in ("accuracy", *measures):
        merged = merged[gain(merged, name).notna()]
    by_seed = merged.reset_index().sort_values(["seed", "started_at", "run_id"])
    by_seed = by_seed.drop_duplicates(["configuration", "seed"], keep="last")
    groups = by_seed.groupby("configuration")
    means = {name: groups[name].mean() for name in measure_columns(table)}
    return (
        by_seed.drop_duplicates("configuration")
        .set_index("configuration")
        .assign(**means, spread=groups[measures[0]].std(), seeds=groups.size())
        .assign(run_ids=groups["run_id"].agg(tuple))
        .reset_index()
    )


def _accuracies(ok: "pd.DataFrame") -> "dict[str, pd.Series[float]]":
    """Give every measure of the report images, indexed by run."""
    metrics = ok["metric"].astype(str)
    clean = ok[(ok["suite"] == "clean") & (metrics == "accuracy")]
    found = {"accuracy": clean[clean["task"] == MEAN]}
    for task in (name for name in clean["task"].unique() if name != MEAN):
        found[TASK_PREFIX + task] = clean[clean["task"] == task]
    means = ok[(metrics == "accuracy") & (ok["task"] == MEAN) & ok["corruption"].isna()]
    for level in sorted(means["level"].dropna().unique()):
        found[SUITE_PREFIX + level] = means[means["level"] == level]
    if (means["suite"] == "unseen").any():
        found[f"{SUITE_PREFIX}unseen"] = means[means["suite"] == "unseen"]
    for name, metric in ROUTING.items():
        routed = ok[(ok["suite"] == "clean") & (metrics == metric) & (ok["task"] == MEAN)]
        if not routed.empty:
            found[SUITE_PREFIX + name] = routed
    return {name: chosen.set_index("run_id")["value"] for name, chosen in found.items()}


def last_criterion(table: "pd.DataFrame") -> str | None:
    """Give what the merged run started last was scored by, None without a score."""
    merged = table[~table["method"].isin(REFERENCES)].dropna(subset="criterion").reset_index()
    latest = merged.sort_values(["started_at", "run_id"])["criterion"].tail(1)
    return None if latest.empty else str(latest.item())


def setting_columns(table: "pd.DataFrame") -> list[str]:
    """Give the columns of a run table that are settings, as ``METHOD.FIELD``."""
    return [
        name
        for name in table.columns
        if "." in name and not name.startswith((TASK_PREFIX, SUITE_PREFIX))
    ]


def measure_columns(table: "pd.DataFrame") -> list[str]:
    """Give the columns of a run table that runs may be compared by."""
    prefixed = (name for name in table.columns if name.startswith((TASK_PREFIX, SUITE_PREFIX)))
    return ["score", "accuracy", *prefixed, *COSTS]


def gain(table: "pd.DataFrame", measure: str) -> "pd.Series[float]":
    """Give a measure so that more is better: costs with a minus sign; NaN for what is not finite.

    Raises:
        ConfigError: the table has no such measure.
    """
    known = measure_columns(table)
    if measure not in known:
        raise ConfigError(f"no measure {measure!r} in these runs; known: {', '.join(known)}")
    values = table[measure].astype(float)
    finite = values.where(values.abs() < float("inf"))
    return -finite if measure in COSTS else finite
