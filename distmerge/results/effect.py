"""How much a method's settings matter, as far as its runs can tell."""

import math
from typing import TYPE_CHECKING

from distmerge.errors import ConfigError
from distmerge.results.runs import configurations, runs, setting_columns

if TYPE_CHECKING:
    import pandas as pd

_MOST_GROUPS = 4


def hyperparameter_effect(
    rows: "pd.DataFrame", method: str, study: str | None = None, *, measure: str = "score"
) -> "pd.DataFrame":
    """Give, for every setting that varied, how much of a measure it explains; most first.

    Every setting is looked at alone, over the method's configurations (means over seeds), so what
    two settings do together shows in neither. Columns: ``setting``, ``configurations``, ``values``
    (how many different ones), ``rank_correlation`` (Spearman's, NaN for words and truth values)
    and ``variance_explained``: epsilon squared of a one-way analysis of variance (Kelley 1935),
    ``1 - (within / (n - k)) / (total / (n - 1))`` for ``n`` configurations in ``k`` groups. Words
    and truth values are their own groups; numbers are, while they are few, and else are cut into
    groups of about equal size, four at most and two members at least. A setting without effect
    has 0 on average, however few the runs, so a single one may be negative; NaN where every
    group has one member.

    Args:
        rows: the results table, from ``load`` or ``pandas.read_parquet``.
        method: the stages joined by ``+``.
        study: whose runs; may be left out where the table holds one study.
        measure: a measure of ``runs``.

    Raises:
        ConfigError: no run of the method ended well, or the runs have no such measure.
        ResultsError: the table holds no run of that study, or several studies and none is named.
    """
    import pandas as pd

    measured = configurations(runs(rows, study), [measure])
    own = measured[measured["method"] == method]
    if own.empty:
        known = ", ".join(sorted(measured["method"].unique())) or "none"
        raise ConfigError(f"no run of {method!r} with a finite {measure}; methods: {known}")
    varied = [name for name in setting_columns(own) if own[name].nunique(dropna=False) > 1]
    effects = [
        {
            "setting": name,
            "configurations": len(own),
            "values": own[name].nunique(dropna=False),
            "rank_correlation": _rank_correlation(own[name], own[measure]),
            "variance_explained": _variance_explained(_groups(own[name]), own[measure]),
        }
        for name in varied
    ]
    columns = ["setting", "configurations", "values", "rank_correlation", "variance_explained"]
    table = pd.DataFrame(effects, columns=columns)
    return table.sort_values("variance_explained", ascending=False, ignore_index=True)


def _is_number(values: "pd.Series[float]") -> bool:
    import pandas as pd

    found = values.dropna().infer_objects()
    return pd.api.types.is_numeric_dtype(found) and not pd.api.types.is_bool_dtype(found)


def _rank_correlation(values: "pd.Series[float]", measured: "pd.Series[float]") -> float:
    known = values.notna()
    if not _is_number(values) or values[known].nunique() < 2 or measured[known].nunique() < 2:
        return math.nan
    return float(values[known].astype(float).rank().corr(measured[known].rank()))


def _groups(values: "pd.Series[float]") -> "pd.Series[str]":
    """Give the group of every configuration; no value is a group of its own."""
    import pandas as pd

    groups = max(2, min(_MOST_GROUPS, len(values) // 2))
    if _is_number(values) and values.nunique() > groups:
        return pd.qcut(values.astype(float), groups, duplicates="drop").astype(str)
    return values.astype(str)


def _variance_explained(groups: "pd.Series[str]", measured: "pd.Series[float]") -> float:
    n, k = len(measured), groups.nunique()
    total = float(measured.var())
    if k == n or not total > 0:
        return math.nan
    deviations = measured - measured.groupby(groups).transform("mean")
    return 1 - float((deviations**2).sum()) / (n - k) / total
