"""How far merged features are from those of the tasks' own models."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from distmerge.report.content import Column, Figure, Omitted, Section, Table, number, slug_of, words
from distmerge.report.pictures import Pictures
from distmerge.report.source import StudyResults

MOST_CLOUDS = 3
"""Methods whose features are drawn: the best that corrects features, then the best others."""
_KINDS = ("individual", "merged", "corrected")


def representation(results: StudyResults) -> Section | Omitted:
    """Give the representation bias of every method's best run, as the Surgery paper shows it."""
    title = "Representation bias"
    found = {m: own for m, own in results.pictures.items() if _is_drawn(own)}
    if not found:
        return Omitted(title, "no run kept features of its images: the runs are older")
    layers = [row for method, own in found.items() for row in _layers(method, own)]
    parts: list[Figure | Table] = [_table(found)]
    if layers:
        parts.insert(0, _distances(results, layers))
    parts += [_clouds(method, found[method]) for method in _shown(found)]
    sentences = (
        (
            "A merged model's features differ from those of a task's own model on the same "
            "images: the bias that a correction such as surgery takes away (Yang et al., "
            "arXiv:2402.02705). Less is better. Measured on the first 64 report images of every "
            "task, without labels."
        ),
        f"Features are drawn of {', '.join(_shown(found))}.",
    )
    return Section("representation", title, sentences, tuple(parts))


def _is_drawn(own: Pictures) -> bool:
    """Whether there are features; those that are not finite are stored as NaN."""
    return any(np.isfinite(points).any() for points in own.by_task("points").values())


def _layers(method: str, own: Pictures) -> Iterator[dict[str, object]]:
    distances = list(own.by_task("layers").values())
    for layer, value in enumerate(np.mean(distances, axis=0) if distances else (), start=1):
        if np.isfinite(value):
            yield {"series": method, "part": "", "x": layer, "value": round(float(value), 5)}


def _distances(results: StudyResults, rows: list[dict[str, object]]) -> Figure:
    frame = pd.DataFrame(rows)
    wide = frame.pivot_table(index="series", columns="x", values="value", sort=False)
    table = Table(
        "L1 distance of the class token after every block, mean of the tasks",
        (
            words("method", wide.index),
            *(Column(f"{n}", tuple(number(v, "{:.3f}") for v in wide[n])) for n in wide.columns),
        ),
        is_folded=True,
    )
    return Figure(
        slug="layers",
        title="L1 distance to the tasks' own models, block by block, before any correction",
        kind="curves",
        frame=frame,
        x="block",
        y="mean absolute difference",
        says="One line per method, from the first block to the last.",
        series=results.series,
        table=table,
    )


def _table(found: Mapping[str, Pictures]) -> Table:
    tasks = next(iter(found.values())).tasks
    rows = [
        (method, kind, values)
        for method, own in found.items()
        for kind, values in _by_kind(own, tasks).items()
    ]
    means = [float(np.mean(values)) for _, _, values in rows]
    return Table(
        "L1 distance of final features to the tasks' own models, by task",
        (
            words("method", (method for method, _, _ in rows)),
            words("features", (kind for _, kind, _ in rows)),
            *(
                Column(task, tuple(number(float(v[k]), "{:.3f}") for _, _, v in rows))
                for k, task in enumerate(tasks)
            ),
            Column("mean", tuple(number(mean, "{:.3f}") for mean in means)),
        ),
    )


def _by_kind(own: Pictures, tasks: tuple[str, ...]) -> dict[str, list[float]]:
    distances = own.by_task("distance")
    kinds = _KINDS[1 : 1 + len(next(iter(distances.values())))]
    return {kind: [float(distances[t][i]) for t in tasks] for i, kind in enumerate(kinds)}


def _shown(found: Mapping[str, Pictures]) -> list[str]:
    corrected = [method for method, own in found.items() if _num_kinds(own) > 2]
    return [*corrected[:1], *(m for m in found if m not in corrected[:1])][:MOST_CLOUDS]


def _num_kinds(own: Pictures) -> int:
    return len(next(iter(own.by_task("points").values())))


def _clouds(method: str, own: Pictures) -> Figure:
    rows = [
        {"series": kind, "label": task, "x": round(float(x), 3), "value": round(float(y), 3)}
        for task, points in own.by_task("points").items()
        for kind, cloud in zip(_KINDS, points, strict=False)
        for x, y in cloud
        if np.isfinite(x)
    ]
    return Figure(
        slug=f"features-{slug_of(method)}",
        title=f"Features of {method} beside those of the tasks' own models, image by image",
        kind="clouds",
        frame=pd.DataFrame(rows),
        x="",
        y="",
        says="One panel per task, in the plane of largest variance (PCA, features at length 1); "
        "the table has the distances.",
        series=_KINDS[: _num_kinds(own)],
    )
