"""How good every method is: in the mean, and task by task."""

from typing import TYPE_CHECKING

from distmerge.report.content import Column, Figure, Omitted, Section, Table, shares, words
from distmerge.report.render import render_leaderboard
from distmerge.report.source import StudyResults

if TYPE_CHECKING:
    import pandas as pd

_TITLES = {
    "mean": "accuracy, %",
    "retained": "retained, %",
    "lost": "lost, %",
    "score": "score",
    "seeds": "seeds",
    "trials": "configurations",
    "failed": "failed runs",
    "cost": "time of a run",
    "total": "time in all",
}
_MEANINGS = {
    "retained": "retained: accuracy as a share of the task's own fine-tuned model's, mean of the "
    "tasks.",
    "lost": "lost: share of the clean accuracy that is gone at the highest level of corruption.",
    "score": "score: what the search compared runs by, on images that are not reported here.",
    "trials": "configurations: different settings that were tried and ended well.",
}


def ranking(results: StudyResults) -> Section | Omitted:
    """Give the leaderboard, as a figure and as a table."""
    title = "Leaderboard"
    board = results.usable
    if board.empty:
        return Omitted(title, "no run ended well")
    view = render_leaderboard(results.board, study=results.name)
    by_title = {column.title: column for column in view.summary}
    shown = [name for name in _TITLES if name in by_title]
    columns = [
        Column(_TITLES[name], by_title[name].cells, best=by_title[name].best) for name in shown
    ]
    spread = "; ±: standard deviation over seeds" if board["seeds"].max() > 1 else ""
    table = Table(
        f"Mean accuracy of {len(results.tasks)} tasks on clean report images{spread}",
        (words("method", results.board["method"]), *columns),
        num_merged=view.num_merged,
    )
    frame = board[["method", "accuracy", "spread"]].set_axis(["series", "value", "spread"], axis=1)
    figure = Figure(
        slug="leaderboard",
        title="Mean accuracy of every method" + (", ± one standard deviation" if spread else ""),
        kind="dots",
        frame=frame.assign(label=frame["series"]),
        x="mean accuracy of the tasks, %",
        y="",
        says="One dot per method; the table has the same numbers.",
        series=results.series,
    )
    notes = tuple(_MEANINGS[name] for name in shown if name in _MEANINGS)
    return Section("leaderboard", title, (), (figure, table), notes)


def per_task(results: StudyResults) -> Section | Omitted:
    """Give every task's accuracy against the pretrained and the individual models'."""
    title = "Accuracy per task"
    board, tasks = results.usable, results.tasks
    if board.empty or not tasks:
        return Omitted(title, "no run ended well")
    values = board.set_index("method")[list(tasks.values())].set_axis(list(tasks), axis=1)
    table = by_row("Accuracy on clean report images, in percent", values, len(results.series))
    compared = [m for m in values.index if m in {*results.series, "pretrained", "individual"}]
    frame = values.loc[compared].rename_axis("series").reset_index()
    figure = Figure(
        slug="tasks",
        title="Accuracy per task, between the pretrained and the task's own model",
        kind="dots",
        frame=frame.melt("series", var_name="label", value_name="value").assign(
            spread=float("nan")
        ),
        x="accuracy, %",
        y="task",
        says="One dot per task and method; the table has the same numbers.",
        series=results.series,
    )
    return Section("tasks", title, (_widest_gap(values, results.series),), (figure, table))


def by_row(caption: str, values: "pd.DataFrame", num_merged: int) -> Table:
    """Give shares as a table in percent: a row per method, a column per whatever they hold."""
    columns = [
        shares(str(name), values[name].tolist(), num_merged=num_merged) for name in values.columns
    ]
    return Table(caption, (words("method", values.index), *columns), num_merged=num_merged)


def _widest_gap(values: "pd.DataFrame", series: tuple[str, ...]) -> str:
    if not series or "individual" not in values.index:
        return "Every method's accuracy on every task."
    gaps = values.loc["individual"] - values.loc[series[0]]
    task = str(gaps.idxmax())
    return (
        f"{series[0]}, the most accurate merged model, is furthest from a task's own model on "
        f"{task}: {100 * gaps[task]:.1f} points."
    )
