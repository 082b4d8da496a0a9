"""How methods learned: their coefficients, losses and scores over the steps of a run."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from distmerge.report.content import Column, Figure, Omitted, Section, Table, number, slug_of, words
from distmerge.report.pictures import Pictures, Trace
from distmerge.report.sections.coefficients import merges, short
from distmerge.report.source import StudyResults

MOST_CELLS = 10_000
"""In one figure, of all steps; beyond, only the first of the steps that are stored."""

_STORED = (
    "At most 32 points of a problem are stored, at equal distances. Losses are of single batches, "
    "so they jump, and those of different methods do not compare."
)
_NO_SCORES = "No agreement was taken on the way: keep: best or patience in the settings do."


def training(results: StudyResults) -> Section | Omitted:
    """Give what every method's best run kept of its optimisation."""
    title = "Learning, step by step"
    found = {method: own for method, own in results.pictures.items() if own.traces}
    if not found:
        return Omitted(title, "no run kept how it learned: nothing was learned, or it is older")
    losses = pd.DataFrame([row for method, own in found.items() for row in _losses(method, own)])
    scores = pd.DataFrame([row for method, own in found.items() for row in _scores(method, own)])
    parts: list[Figure | Table] = [*_moving(results, found)]
    if len(losses):
        says = "One line per problem that a method solves; the table has first and last."
        parts.append(
            Figure(
                "losses",
                "Loss over the steps, as a share of the loss that a problem began with",
                "curves",
                losses,
                "step of the run",
                "loss, first = 1",
                says,
                results.series,
            )
        )
    if len(scores):
        says = "One line per method; the table has first and last."
        parts.append(
            Figure(
                "scores",
                "Agreement with the individual models on adapt images, over the steps",
                "curves",
                scores,
                "step of the run",
                "agreement, %",
                says,
                results.series,
            )
        )
    sentences = (_STORED, *([] if len(scores) else [_NO_SCORES]))
    return Section("training", title, sentences, (*parts, _table(found)))


def _moving(results: StudyResults, found: Mapping[str, Pictures]) -> Iterator[Figure]:
    """Yield each method's coefficients by task and block, a picture per step."""
    blocks = {m.method: dict(zip(m.names, m.blocks, strict=True)) for m in merges(results)}
    for method, own in found.items():
        traces = [trace for trace in own.traces if trace.groups and trace.coefficients.size]
        if traces:
            yield _figure(method, own, traces[-1], blocks.get(method, {}))


def _figure(method: str, own: Pictures, trace: Trace, blocks: Mapping[str, str]) -> Figure:
    of_group = [blocks.get(group) or group for group in trace.groups]
    names = list(dict.fromkeys(of_group))
    index = np.array([names.index(block) for block in of_group])
    values = trace.coefficients.astype(float)
    means = np.stack([values[:, :, index == i].mean(axis=2) for i in range(len(names))], axis=2)
    most = max(2, MOST_CELLS // means[0].size)
    rows = [
        {
            "frame": trace.before + int(step),
            "label": task,
            "place": i + 1,
            "name": short(name),
            "block": short(name),
            "value": round(float(means[point, k, i]), 4),
        }
        for point, step in list(enumerate(trace.steps))[:most]
        for k, task in enumerate(own.tasks)
        for i, name in enumerate(names)
    ]
    return Figure(
        slug=f"moving-{slug_of(method)}",
        title=f"Coefficients of {method} while they are learned, means of a block's tensors",
        kind="heat",
        frame=pd.DataFrame(rows),
        x="block",
        y="task",
        says="One picture per step, chosen by the slider; the last one is shown first.",
        shade="coefficient",
        cell="block",
        table=_moves(method, own, trace, values),
    )


def _moves(method: str, own: Pictures, trace: Trace, values: np.ndarray) -> Table:
    means = values.mean(axis=2)
    shown = list(range(0, len(means), -(-len(means) // 8)))
    shown = [*shown, *([len(means) - 1] if shown[-1] != len(means) - 1 else [])]
    steps = [str(trace.before + int(trace.steps[point])) for point in shown]
    return Table(
        f"Mean coefficient of every task in {method}, by step",
        (
            words("task", own.tasks),
            *(
                Column(f"step {step}", tuple(number(float(v), "{:.3f}") for v in means[point]))
                for step, point in zip(steps, shown, strict=True)
            ),
        ),
        is_folded=True,
    )


def _losses(method: str, own: Pictures) -> Iterator[dict[str, object]]:
    for trace in own.traces:
        known = np.isfinite(trace.losses)
        steps, losses = trace.steps[known], trace.losses[known].astype(float)
        if len(losses) and losses[0] > 0:
            for step, loss in zip(steps, losses, strict=True):
                yield _point(method, trace, int(step), float(loss / losses[0]))


def _scores(method: str, own: Pictures) -> Iterator[dict[str, object]]:
    for trace in own.traces:
        for step, score in zip(trace.check_steps, trace.scores, strict=True):
            yield _point(method, trace, int(step), 100 * float(score))


def _point(method: str, trace: Trace, step: int, value: float) -> dict[str, object]:
    place = trace.before + step
    return {"series": method, "part": trace.problem, "x": place, "value": round(value, 4)}


def _table(found: Mapping[str, Pictures]) -> Table:
    rows = [(method, trace) for method, own in found.items() for trace in own.traces]
    ends = [trace.losses[np.isfinite(trace.losses)] for _, trace in rows]
    return Table(
        "What was learned, and the loss at its first and at its last stored step",
        (
            words("method", (method for method, _ in rows)),
            words("problem", (trace.problem for _, trace in rows)),
            Column("steps", tuple(str(trace.steps.max(initial=0)) for _, trace in rows)),
            Column("first loss", tuple(_end(losses[:1]) for losses in ends)),
            Column("last loss", tuple(_end(losses[-1:]) for losses in ends)),
            Column("first agreement, %", tuple(_end(100 * t.scores[:1]) for _, t in rows)),
            Column("last agreement, %", tuple(_end(100 * t.scores[-1:]) for _, t in rows)),
        ),
        is_folded=len(rows) > 12,
    )


def _end(values: np.ndarray) -> str:
    return number(float(values[0])) if len(values) else "-"
