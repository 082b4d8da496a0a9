"""Whether routers find the task, and whether models know when they err."""

from collections.abc import Mapping

import pandas as pd

from distmerge.report.content import (
    Column,
    Figure,
    Omitted,
    Section,
    Table,
    number,
    shares,
    words,
)
from distmerge.report.sections.robustness import CLEAN, curve, with_clean
from distmerge.report.source import StudyResults
from distmerge.results import MEAN

_ROUTED = {
    "routing_accuracy": "sent to their own task, %",
    "routing_weight": "weight of the own task, %",
    "accuracy": "accuracy, task told, %",
    "accuracy_withheld": "accuracy, task found, %",
    "accuracy_unified": "accuracy over all classes, %",
}


def routing(results: StudyResults) -> Section | Omitted:
    """Give how often every task's images are sent to their own task, and with what weight."""
    title = "Routing"
    found = {metric: results.measured(metric, CLEAN) for metric in _ROUTED}
    routed = list(dict.fromkeys(found["routing_accuracy"]["method"]))
    if not routed:
        return Omitted(title, "no method has a router")
    tables = [_routing_table(method, found) for method in routed]
    sent = found["routing_accuracy"]
    sent = sent[sent["task"] != MEAN]
    figure = Figure(
        slug="routing",
        title="Images that are sent to their own task",
        kind="dots",
        frame=pd.DataFrame(
            {
                "label": sent["task"],
                "series": sent["method"],
                "value": sent["value"],
                "spread": float("nan"),
            }
        ),
        x="images sent to their own task, %",
        y="task",
        says="One dot per task and routed method; the tables have the same numbers.",
        series=results.series,
    )
    sentences = (
        (
            "A routed model is not told whose image it sees. Accuracy counts where the task is "
            "told, where the model has to find it, and over the classes of all tasks side by side."
        ),
        (
            "To which wrong task an image was sent, and the weights image by image, are not in the "
            "rows."
        ),
    )
    return Section("routing", title, sentences, (figure, *tables))


def _routing_table(method: str, found: Mapping[str, pd.DataFrame]) -> Table:
    columns = {}
    for metric, title in _ROUTED.items():
        own = found[metric][found[metric]["method"] == method]
        if not own.empty:
            columns[title] = own.set_index("task")["value"]
    values = pd.DataFrame(columns)
    values = pd.concat([values.drop(index=MEAN), values.loc[[MEAN]]])
    named = (shares(str(title), values[title].tolist()) for title in values)
    return Table(
        f"Routing of {method} on clean report images, by task",
        (words("task", values.index), *named),
    )


def calibration(results: StudyResults) -> Section | Omitted:
    """Give how far confidence is from accuracy, and what uncertainty tells."""
    title = "Calibration and uncertainty"
    values = with_clean(results, "ece")
    if values.empty or values[CLEAN].isna().all():
        return Omitted(title, "no run has calibration errors")
    num_merged = sum(method in results.series for method in values.index)
    table = Table(
        "Calibration error (ECE, 15 bins) of the largest probability, mean of the tasks",
        (
            words("method", values.index),
            *(
                shares(f"{name}, %", values[name].tolist(), num_merged=num_merged, lowest=True)
                for name in values
            ),
        ),
        num_merged=num_merged,
    )
    name = "calibration error, %"
    figure = curve(
        "calibration", "How far confidence is from accuracy", values, results.series, name
    )
    sentences = ["0 means that a model which says 80 % is right 80 % of the time; less is better."]
    told = _uncertainty(results)
    if told:
        sentences.append(
            "AUROC: how often a wrong answer is less certain than a right one; 0.5 is a guess, "
            "1 is perfect."
        )
    else:
        sentences.append("No method says how uncertain it is, so there is no table of that.")
    return Section("calibration", title, tuple(sentences), (figure, table, *told))


def _uncertainty(results: StudyResults) -> list[Table]:
    errors = with_clean(results, "uncertainty_ece")
    ranks = with_clean(results, "uncertainty_auroc")
    methods = [str(name) for name in errors[CLEAN].dropna().index]
    return [
        Table(
            f"What the uncertainty of {method} tells, mean of the tasks",
            (
                words("images", errors.columns),
                shares("calibration error of 1 - uncertainty, %", errors.T[method].tolist()),
                Column("AUROC", tuple(number(v, "{:.3f}") for v in ranks.T[method].tolist())),
            ),
        )
        for method in methods
    ]
