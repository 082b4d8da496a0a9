"""Which settings matter."""

import math

import pandas as pd

from distmerge.report.content import (
    Column,
    Figure,
    Omitted,
    Section,
    Table,
    number,
    percent,
    slug_of,
    words,
)
from distmerge.report.source import StudyResults
from distmerge.results import hyperparameter_effect

MOST_LINES = 200
"""Lines in one figure of parallel coordinates."""
MOST_ROWS = 20
_LOGARITHMIC = 20  # an axis whose largest value is so many times its smallest


def settings(results: StudyResults) -> Section | Omitted:
    """Give how much of the score every setting explains, and the configurations side by side."""
    title = "Settings"
    effects = {method: _effect(results, method) for method in results.series}
    varied = {method: effect for method, effect in effects.items() if not effect.empty}
    if not varied:
        return Omitted(title, "no setting was varied: one configuration per method")
    whole = pd.concat([effect.assign(method=method) for method, effect in varied.items()])
    whole = whole.sort_values("variance_explained", ascending=False, kind="stable")
    frame = whole.rename(columns={"method": "series", "variance_explained": "value"})
    frame["label"] = [_named(*row) for row in zip(frame["setting"], frame["series"], strict=True)]
    frame = frame[["series", "label", "value"]]
    known = frame.dropna().reset_index(drop=True)
    figure = Figure(
        slug="importance",
        title="How much of the differences in score each setting explains, looked at alone",
        kind="bars",
        frame=known,
        x="variance explained, %",
        y="setting",
        says="One bar per setting; the table has the same numbers.",
        series=results.series,
    )
    sentence = (
        "0 % and below: no effect was seen. Few configurations tell little, and settings that act "
        "together show in neither."
    )
    several = [method for method, effect in varied.items() if _is_worth_lines(effect)]
    lines = (_lines(results, method, varied[method]) for method in several)
    figures = ([figure] if len(known) else []) + list(lines)
    return Section("settings", title, (sentence,), (*figures, _table(whole)))


def _named(setting: str, method: str) -> str:
    is_plain = setting.split(".", 1)[0] == method
    return setting if is_plain else f"{setting} in {method}"


def _is_worth_lines(effect: pd.DataFrame) -> bool:
    return len(effect) > 1 and bool(effect["configurations"].max() > 2)


def _measure(results: StudyResults, method: str) -> str:
    own = results.runs[results.runs["method"] == method]
    return "score" if own["score"].notna().any() else "accuracy"


def _effect(results: StudyResults, method: str) -> pd.DataFrame:
    own = results.means[results.means["method"] == method]
    return hyperparameter_effect(own, method, measure=_measure(results, method))


def _table(effects: pd.DataFrame) -> Table:
    return Table(
        "Settings that varied",
        (
            words("setting", effects["setting"]),
            words("method", effects["method"]),
            Column("configurations", tuple(f"{count:,}" for count in effects["configurations"])),
            Column("values", tuple(f"{count:,}" for count in effects["values"])),
            Column("variance explained, %", tuple(map(percent, effects["variance_explained"]))),
            Column(
                "rank correlation",
                tuple(number(value, "{:+.2f}") for value in effects["rank_correlation"]),
            ),
        ),
    )


def _lines(results: StudyResults, method: str, effect: pd.DataFrame) -> Figure:
    """Give a method's configurations as lines over its settings, the score last."""
    measure = _measure(results, method)
    own = results.runs[(results.runs["method"] == method) & ~results.runs["repeats"]]
    own = own[own[measure].notna()].drop_duplicates("configuration")
    best = own.sort_values(measure, ascending=False).head(MOST_LINES)
    axes = {name.removeprefix(f"{method}."): best[name] for name in effect["setting"]}
    parts = [_axis(name, values) for name, values in {**axes, measure: best[measure]}.items()]
    frame = pd.concat(parts).assign(value=lambda found: found["label"].map(best[measure]))
    most = f"the best {MOST_LINES} of {len(own):,} configurations" * (len(own) > MOST_LINES)
    shown = best.head(MOST_ROWS)
    table = Table(
        f"The best {len(shown)} configurations of {method}, by {measure}",
        (
            words("run", shown.index),
            *(Column(name, tuple(map(_text, shown[name]))) for name in effect["setting"]),
            Column(measure, tuple(number(value, "{:.3f}") for value in shown[measure])),
        ),
        is_folded=True,
    )
    return Figure(
        slug=f"settings-{slug_of(method)}",
        title=f"Settings of {method} and the {measure} they lead to" + (f": {most}" * bool(most)),
        kind="parallel",
        frame=frame.reset_index(drop=True),
        x="",
        y=measure,
        says="One line per configuration, from setting to setting.",
        table=table,
    )


def _axis(name: str, values: "pd.Series[float]") -> pd.DataFrame:
    """Give where every run lies on one axis, and the texts at its ends, or at every word."""
    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    is_words = values.map(lambda value: isinstance(value, str | bool)).any() or numbers.isna().any()
    if is_words:
        texts = values.map(_text)
        order = {text: i for i, text in enumerate(sorted(texts.unique()))}
        positions = texts.map(order) / max(1, len(order) - 1)
        shown = ~texts.duplicated()
    else:
        low, high = numbers.min(), numbers.max()
        is_log = low > 0 and high / low >= _LOGARITHMIC
        scaled = numbers.map(math.log) if is_log else numbers
        positions = (scaled - scaled.min()) / ((scaled.max() - scaled.min()) or 1)
        texts = numbers.map(_text)
        shown = numbers.isin([low, high]) & ~numbers.duplicated()
    columns = {"label": values.index, "axis": name, "position": positions.to_numpy()}
    return pd.DataFrame(columns).assign(text=texts.where(shown, "").to_numpy())


def _text(value: object) -> str:
    if isinstance(value, float):
        return number(value, "{:.3g}")
    return str(value)
