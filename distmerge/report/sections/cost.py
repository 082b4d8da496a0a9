"""What accuracy costs."""

from distmerge.report.content import (
    Column,
    Figure,
    Omitted,
    Section,
    Table,
    duration,
    shares,
    words,
)
from distmerge.report.source import StudyResults
from distmerge.results import REFERENCES, pareto

MOST_POINTS = 2000
"""More would make the page slow; those of the front are always shown."""


def cost(results: StudyResults) -> Section | Omitted:
    """Give accuracy against time, and the configurations that no other beats in both."""
    title = "Cost and accuracy"
    runs = results.runs
    merged = runs[~runs["method"].isin(REFERENCES) & runs["accuracy"].notna()]
    if merged.empty:
        return Omitted(title, "no run ended well")
    front = pareto(results.means)
    on_front = {run_id for ids in front["run_ids"] for run_id in ids}
    named = merged.rename_axis("run_id").reset_index()
    points = named.groupby("configuration", sort=False).agg(
        series=("method", "first"),
        label=("run_id", "first"),
        x=("cost_s", "mean"),
        value=("accuracy", "mean"),
    )
    flags = named["run_id"].isin(on_front).groupby(named["configuration"], sort=False).any()
    points = points.assign(front=flags).sort_values(["front", "value"], ascending=False)
    shown = points.head(MOST_POINTS)
    left_out = f" The best {MOST_POINTS:,} of {len(points):,} are drawn." * (
        len(shown) < len(points)
    )
    figure = Figure(
        slug="cost",
        title="Accuracy against the time of a run; the line joins what no other beats in both",
        kind="points",
        frame=shown.reset_index(drop=True),
        x="time of a run, evaluation included, s",
        y="mean accuracy, %",
        says="One dot per configuration; the table has those that no other beats.",
        series=results.series,
    )
    table = Table(
        "Configurations that no other beats in both accuracy and time",
        (
            words("method", front["method"]),
            shares("accuracy, %", front["accuracy"].tolist()),
            Column("time of a run", tuple(duration(value) for value in front["cost_s"])),
            Column("seeds", tuple(str(count) for count in front["seeds"])),
            words("runs", (", ".join(ids) for ids in front["run_ids"])),
        ),
    )
    sentence = (
        f"{len(front)} of {len(points):,} configurations are worth their time: every other one is "
        f"no more accurate than one that is as fast or faster.{left_out}"
    )
    return Section("cost", title, (sentence,), (figure, table))
