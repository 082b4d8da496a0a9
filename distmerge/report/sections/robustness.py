"""What is left on corrupted images and on tasks that were not merged."""

import pandas as pd

from distmerge.report.content import Figure, Omitted, Section, Table, shares, words
from distmerge.report.source import StudyResults
from distmerge.results import MEAN

CLEAN = "clean"


def corrupted(results: StudyResults) -> Section | Omitted:
    """Give accuracy from clean to the highest level of corruption, and what is lost."""
    title = "Corrupted images"
    values = with_clean(results, "accuracy")
    if values.shape[1] < 2:
        return Omitted(title, "no run was measured on corrupted images (levels in the study file)")
    levels = [name for name in values.columns if name != CLEAN]
    num_merged = sum(method in results.series for method in values.index)
    losses = {level: 1 - values[level] / values[CLEAN] for level in levels}
    table = Table(
        "Mean accuracy by level of corruption, and the share of the clean accuracy that is lost",
        (
            words("method", values.index),
            *(shares(f"{n}, %", values[n].tolist(), num_merged=num_merged) for n in values),
            *(
                shares(f"lost at {n}, %", loss.tolist(), num_merged=num_merged, lowest=True)
                for n, loss in losses.items()
            ),
        ),
        num_merged=num_merged,
    )
    worst = levels[-1]
    merged = losses[worst][[m in results.series for m in values.index]].dropna()
    least = (
        f"{merged.idxmin()} loses least: {100 * merged.min():.1f} % of its clean accuracy at "
        f"{worst}, the worst level; {merged.idxmax()} loses most, {100 * merged.max():.1f} %."
        if merged.nunique() > 1
        else "Relative loss compares methods that differ on clean images."
    )
    figure = curve(
        "corruption", "Mean accuracy from clean to corrupted images", values, results.series
    )
    return Section("corruption", title, (least,), (figure, table))


def unseen(results: StudyResults) -> Section | Omitted:
    """Give accuracy on tasks that were merged beside that on tasks that were not."""
    title = "Seen and unseen tasks"
    found = results.measured("accuracy", "unseen")
    if found.empty:
        return Omitted(title, "no task was left out of the merge (unseen in the study file)")
    wide = found.pivot_table(index="method", columns="task", values="value", sort=False)
    names = [*(task for task in wide.columns if task != MEAN)]
    seen = results.usable.set_index("method")["accuracy"].reindex(wide.index)
    values = pd.DataFrame({"seen tasks": seen, "unseen tasks": wide[MEAN]})
    num_merged = sum(method in results.series for method in wide.index)
    per_task = {f"{task}, unseen": wide[task] for task in names}
    table = Table(
        "Mean accuracy on merged tasks and on tasks that were not merged, in percent",
        (
            words("method", wide.index),
            *(
                shares(name, column.tolist(), num_merged=num_merged)
                for name, column in {**values, **per_task}.items()
            ),
        ),
        num_merged=num_merged,
    )
    figure = curve("unseen", "From seen to unseen tasks", values, results.series)
    sentence = f"Not merged, only measured: {', '.join(names)}."
    return Section("unseen", title, (sentence,), (figure, table))


def with_clean(results: StudyResults, metric: str) -> pd.DataFrame:
    """Give a metric's mean over tasks: a row per method, a column for clean and per level."""
    parts = {CLEAN: results.mean_over_tasks(metric, CLEAN)}
    found = results.mean_over_tasks(metric, "corrupted")
    parts |= {str(level): found[found["level"] == level] for level in sorted(set(found["level"]))}
    columns = {name: part.set_index("method")["value"] for name, part in parts.items()}
    order = [m for m in results.usable["method"] if m in columns[CLEAN].index]
    values = pd.DataFrame(columns).reindex(order)
    levels = values.columns.drop(CLEAN)
    return values.dropna(subset=levels, how="all") if len(levels) else values


def curve(
    slug: str,
    title: str,
    values: pd.DataFrame,
    series: tuple[str, ...],
    y: str = "mean accuracy, %",
) -> Figure:
    """Give shares as one line per method over the columns."""
    frame = values.rename_axis("series").reset_index()
    return Figure(
        slug=slug,
        title=title,
        kind="lines",
        frame=frame.melt("series", var_name="label", value_name="value").dropna(),
        x="",
        y=y,
        says="One line per method; the table has the same numbers.",
        series=series,
    )
