"""Whether routers find the task of an image."""

from collections.abc import Iterator, Mapping

import pandas as pd

from distmerge.report.content import (
    Column,
    Figure,
    Omitted,
    Section,
    Table,
    percent,
    shares,
    slug_of,
    words,
)
from distmerge.report.pictures import Pictures
from distmerge.report.sections.robustness import CLEAN
from distmerge.report.source import StudyResults
from distmerge.results import MEAN

MOST_CELLS = 4000
"""In the picture of weights; beyond, fewer images of every task are shown."""
_NOT_KEPT = (
    "To which wrong task an image was sent, and the weights image by image, were not kept by these "
    "runs."
)
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
    pictured = {m: own for m, own in results.pictures.items() if own.by_task("sent")}
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
        *([] if pictured else [_NOT_KEPT]),
    )
    more = (part for method, own in pictured.items() for part in _pictures(method, own))
    return Section("routing", title, sentences, (figure, *tables, *more))


def _pictures(method: str, own: Pictures) -> Iterator[Figure | Table]:
    sent, weights = own.by_task("sent"), own.by_task("weights")
    title = f"Where {method} sends every task's images, in percent"
    rows = [
        {"label": _named(task, own), "place": expert, "name": expert, "value": 100 * float(share)}
        for task, shares_ in sent.items()
        for expert, share in zip(own.tasks, shares_, strict=True)
    ]
    yield Figure(
        slug=f"sent-{slug_of(method)}",
        title=f"Where {method} sends the images of every task",
        kind="heat",
        frame=pd.DataFrame(rows),
        x="task whose model an image gets most of",
        y="task",
        says="Rows are true tasks, columns the tasks found; the table has the numbers.",
        table=_matrix(
            title, own, {task: [percent(float(v)) for v in row] for task, row in sent.items()}
        ),
        shade="images, %",
        cell="sent to",
    )
    yield _samples(method, own)
    cells = {
        task: [f"{mean:.2f} ±{spread:.2f}" for mean, spread in both.T]
        for task, both in weights.items()
    }
    caption = f"Weights of {method}'s router: mean and standard deviation over a task's images"
    yield _matrix(caption, own, cells)


def _samples(method: str, own: Pictures) -> Figure:
    """Give the router's weights image by image, the images of a task side by side."""
    routing = own.by_task("routing")
    most = max(1, MOST_CELLS // (len(own.tasks) * len(routing)))
    rows = [
        {
            "label": expert,
            "place": start * most + image + 1,
            "name": f"{_named(task, own)} {image + 1}",
            "block": _named(task, own),
            "value": round(float(weights[k]), 3),
        }
        for start, (task, images) in enumerate(routing.items())
        for image, weights in enumerate(images[:most])
        for k, expert in enumerate(own.tasks)
    ]
    return Figure(
        slug=f"weights-{slug_of(method)}",
        title=f"Weights of {method}'s router, image by image: the first images of every task",
        kind="heat",
        frame=pd.DataFrame(rows),
        x="images, by their true task",
        y="model",
        says="One column per image; the table below has each task's mean and spread.",
        shade="weight",
        cell="image",
    )


def _matrix(caption: str, own: Pictures, cells: Mapping[str, list[str]]) -> Table:
    columns = zip(*cells.values(), strict=True)
    return Table(
        caption,
        (
            words("task", (_named(task, own) for task in cells)),
            *(Column(task, tuple(one)) for task, one in zip(own.tasks, columns, strict=True)),
        ),
        is_folded=True,
    )


def _named(task: str, own: Pictures) -> str:
    return f"{task}, unseen" if task in own.unseen else task


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
