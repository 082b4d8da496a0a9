"""Questions to a results table; each answer is a frame. Errored and pruned runs never count."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from distmerge.errors import ConfigError, ResultsError
from distmerge.results.collapse import MEAN
from distmerge.results.runs import (
    INPUTS,
    REFERENCES,
    TASK_PREFIX,
    chosen_runs,
    configurations,
    gain,
    runs,
    setting_columns,
)

if TYPE_CHECKING:
    import pandas as pd


def best(rows: "pd.DataFrame", study: str | None = None, *, by: str = "score") -> "pd.DataFrame":
    """Give every merging method's best run, best first: the columns of ``runs``.

    Seeds that repeat a configuration play no part in the choice. By ``score`` it is the
    leaderboard's; by any other measure it is made with hindsight, on the images that are reported.

    Args:
        rows: the results table, from ``load`` or ``pandas.read_parquet``.
        study: whose runs; may be left out where the table holds one study.
        by: a measure of ``runs``; less is better of costs.

    Raises:
        ConfigError: the runs have no such measure.
        ResultsError: the table holds no run of that study, or several studies and none is named.
    """
    chosen = chosen_runs(runs(rows, study), by)
    merged = chosen[~chosen["method"].isin(REFERENCES)]
    return merged.drop_duplicates("method").set_index("run_id")


def pareto(
    rows: "pd.DataFrame",
    study: str | None = None,
    *,
    objectives: Sequence[str] = ("accuracy", "cost_s"),
) -> "pd.DataFrame":
    """Give the configurations that no other dominates, best in the first objective first.

    One dominates another that is as good in all objectives and better in one. Columns: ``method``,
    the objectives (means over ``seeds``), ``seeds``, ``run_ids``, then the settings.

    Args:
        rows: the results table, from ``load`` or ``pandas.read_parquet``.
        study: whose runs; may be left out where the table holds one study.
        objectives: measures of ``runs``, such as ``accuracy`` and ``mean.L3``, or a cost.

    Raises:
        ConfigError: the runs have no such measure.
        ResultsError: the table holds no run of that study, or several studies and none is named.
    """
    import numpy as np

    table = configurations(runs(rows, study), objectives)
    gains = np.stack([gain(table, name).to_numpy() for name in objectives], axis=-1)
    as_good = np.all(gains[None] >= gains[:, None], axis=-1)  # as the row's is the column's
    better = np.any(gains[None] > gains[:, None], axis=-1)
    shown = ["method", *objectives, "seeds", "run_ids", *setting_columns(table)]
    best_first = np.argsort(-gains[:, 0], kind="stable")
    front = best_first[~np.any(as_good & better, axis=1)[best_first]]
    return table[shown].take(front).reset_index(drop=True)


def ablation(
    rows: "pd.DataFrame",
    setting: str,
    study: str | None = None,
    *,
    measure: str = "accuracy",
    against: str | None = None,
) -> "pd.DataFrame":
    """Give what changing one setting alone did, by method and value.

    Of every method that has the setting, the configurations count that differ from a reference in
    nothing else. Columns: ``method``, ``value``, ``reference`` (whether it is the reference's
    value), ``mean`` over the ``seeds``, ``spread`` (standard deviation, NaN for one seed),
    ``seeds``, ``run_ids``.

    Args:
        rows: the results table, from ``load`` or ``pandas.read_parquet``.
        setting: as ``METHOD.FIELD``.
        study: whose runs; may be left out where the table holds one study.
        measure: a measure of ``runs``.
        against: the run whose configuration is the reference; every method's best by score, if it
            is left out.

    Raises:
        ConfigError: the runs have no such measure, setting or run.
        ResultsError: the table holds no run of that study, or several studies and none is named.
    """
    import pandas as pd

    table = runs(rows, study)
    if setting not in setting_columns(table):
        known = ", ".join(setting_columns(table)) or "none"
        raise ConfigError(f"no setting {setting!r} in these runs; known: {known}")
    chosen = _references(table, against)
    measured = configurations(table, [measure])
    others = [name for name in setting_columns(table) if name != setting]
    same = ["method", "criterion", *INPUTS, *others]
    kept = measured.merge(chosen[same], on=same)  # nulls equal nulls
    kept = kept[kept[setting].notna()]
    answer = pd.DataFrame(
        {
            "method": kept["method"],
            "value": kept[setting],
            "reference": kept["configuration"].isin(chosen["configuration"]),
            "mean": kept[measure],
            "spread": kept["spread"],
            "seeds": kept["seeds"],
            "run_ids": kept["run_ids"],
        }
    )
    return answer.sort_values(["method", "value"], ignore_index=True)


def compare(first: "pd.DataFrame", second: "pd.DataFrame") -> "pd.DataFrame":
    """Give two studies side by side: what every method of both reaches on every task of both.

    A method's numbers are those of its best configuration by score, as on the leaderboard. Columns:
    ``method``, ``task`` (``mean`` is that of the tasks of both), ``first`` and ``second`` (clean
    accuracy, means over seeds), ``difference`` (second less first), ``standard_error`` (of the
    difference: the root of the sum of variance / seeds, Welch 1947; NaN where a study has one
    seed), ``seeds_first``, ``seeds_second``, ``differing`` (inputs that are not the same).

    Args:
        first: the rows of one study, from ``load(root, study)``.
        second: those of another, maybe of another dataset.

    Raises:
        ResultsError: a table holds several studies, or they have no method or task in common.
    """
    import pandas as pd

    sides = [chosen_runs(runs(rows)) for rows in (first, second)]
    shared = [str(name) for name in sides[0].columns if name in sides[1].columns]
    tasks = [name for name in shared if name.startswith(TASK_PREFIX)]
    methods = [name for name in sides[0]["method"].unique() if name in set(sides[1]["method"])]
    if not tasks or not methods:
        raise ResultsError("nothing to compare: the studies have no method or no task in common")
    (mean, variance, seeds), (mean_2, variance_2, seeds_2) = (
        _by_task(side, methods, tasks) for side in sides
    )
    inputs = [side.drop_duplicates("method").set_index("method")[[*INPUTS]] for side in sides]
    differs = inputs[0].loc[methods].ne(inputs[1].loc[methods])
    table = pd.DataFrame(
        {
            "first": mean,
            "second": mean_2,
            "difference": mean_2 - mean,
            "standard_error": (variance / seeds + variance_2 / seeds_2) ** 0.5,
            "seeds_first": seeds,
            "seeds_second": seeds_2,
        }
    )
    names = differs.apply(lambda row: ", ".join(differs.columns[row]), axis="columns")
    return table.reset_index().assign(differing=lambda answer: answer["method"].map(names))


def _references(table: "pd.DataFrame", against: str | None) -> "pd.DataFrame":
    if against is None:
        return chosen_runs(table).drop_duplicates("method")
    if against not in table.index:
        raise ConfigError(f"no run {against!r} among those of the study that ended well")
    return table.loc[[against]]


def _by_task(side: "pd.DataFrame", methods: list[str], tasks: list[str]) -> "list[pd.Series[Any]]":
    """Give mean, variance and number of seeds of every method's tasks, the mean task first."""
    import pandas as pd

    values = side[tasks].assign(**{MEAN: side[tasks].mean(axis="columns", skipna=False)})
    named = values[[MEAN, *tasks]].rename(columns=lambda name: name.removeprefix(TASK_PREFIX))
    long = named.assign(method=side["method"]).melt("method", var_name="task")
    groups = long.groupby(["method", "task"], sort=False)["value"]
    order = pd.MultiIndex.from_product([methods, named.columns], names=["method", "task"])
    return [found.reindex(order) for found in (groups.mean(), groups.var(), groups.count())]
