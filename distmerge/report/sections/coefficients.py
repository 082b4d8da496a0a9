"""How much of every task vector went into a merge, tensor by tensor."""

import json
from typing import NamedTuple

import numpy as np
import pandas as pd
import safetensors

from distmerge.errors import ResultsError
from distmerge.report.content import Column, Figure, Omitted, Section, Table, number, slug_of, words
from distmerge.report.source import StudyResults
from distmerge.tensorfiles import header_of

MOST_CELLS = 3000
"""In one figure; beyond, neighbouring tensors are drawn as their mean."""
_COEFFICIENTS = "coefficients"
_DTYPES = {"F64": np.float64, "F32": np.float32}
_SAME = 1e-9


class _Merge(NamedTuple):
    method: str
    run_id: str
    values: np.ndarray
    """Task by tensor."""
    names: list[str]
    thinned: str
    """What was done to the task vectors first."""


def coefficients(results: StudyResults) -> Section | Omitted:
    """Give the merging coefficients of every method's best run, from its recipe."""
    title = "Merging coefficients"
    best = {method: results.chosen[method] for method in results.series}
    firsts = dict(zip(results.usable["method"], results.usable["run_id"], strict=True))
    found = [merge for method in best if (merge := _merge(results, method, firsts[method]))]
    if not found:
        return Omitted(title, "no recipe with coefficients lies beside the rows")
    learned = [merge for merge in found if np.ptp(merge.values) > _SAME]
    figures = [_figure(results, merge) for merge in learned]
    without = [method for method in best if method not in {merge.method for merge in found}]
    sentences = [
        (
            "A task's coefficient says how much of its fine-tuning is added to the pretrained "
            "weights of a tensor. Methods with one number for all of them are in the table alone."
        ),
        "How coefficients moved during training is not stored, so it is not shown.",
    ]
    if without:
        sentences.append(f"No coefficients are stored of {', '.join(without)}.")
    return Section("coefficients", title, tuple(sentences), (*figures, _table(results, found)))


def _merge(results: StudyResults, method: str, run_id: str) -> _Merge | None:
    """Give a run's coefficients; None where its recipe is missing, or it is a routed model."""
    content = results.store.find_file(f"_recipes/{results.name}/{run_id}.safetensors")
    values = _tensors(content, run_id).get(_COEFFICIENTS)
    if values is None:
        return None
    # The exported best model alone says what the tensors are called.
    exported = f"_best/{results.name}/{run_id}/coefficients.safetensors"
    named = _tensors(results.store.find_file(exported), exported)
    if len(named) == values.shape[1]:
        values, names = np.stack([*named.values()], axis=1), [*named]
    else:
        names = [f"tensor {i + 1} of {values.shape[1]}" for i in range(values.shape[1])]
    return _Merge(method, run_id, values, names, _thinned(content))


def _tensors(content: bytes, place: str) -> dict[str, np.ndarray]:
    """Give a safetensors file's float32 and float64 tensors, as they lie there; none of no file.

    Raises:
        ResultsError: it is no safetensors file.
    """
    if not content:
        return {}
    try:
        tensors = dict(safetensors.deserialize(content))  # type: ignore[no-untyped-call]  # Rust
    except safetensors.SafetensorError as error:
        raise ResultsError(f"{place}: not safetensors ({error})") from error
    header, _ = header_of(content)
    in_order = sorted(tensors, key=lambda name: header[name]["data_offsets"])
    return {
        name: np.frombuffer(entry["data"], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in ((name, tensors[name]) for name in in_order)
        if entry["dtype"] in _DTYPES
    }


def _tasks(results: StudyResults, merge: _Merge) -> list[str]:
    tasks = list(results.tasks)
    return tasks if len(tasks) == len(merge.values) else [f"{i}" for i in range(len(merge.values))]


def _figure(results: StudyResults, merge: _Merge) -> Figure:
    tasks, count = _tasks(results, merge), merge.values.shape[1]
    size = -(-len(tasks) * count // MOST_CELLS)
    starts = range(0, count, size)
    frame = pd.DataFrame(
        [
            {
                "label": task,
                "place": start + 1,
                "name": _name(merge.names, start, size),
                "value": float(row[start : start + size].mean()),
            }
            for task, row in zip(tasks, merge.values, strict=True)
            for start in starts
        ]
    )
    means = f", means of {size} neighbours" * (size > 1)
    return Figure(
        slug=f"coefficients-{slug_of(merge.method)}",
        title=f"Coefficients of {merge.method}, run {merge.run_id}",
        kind="heat",
        frame=frame,
        x=f"tensor, in the order of the checkpoint{means}",
        y="task",
        says=f"{len(tasks)} tasks by {len(starts)} tensors; the table has each task's mean.",
    )


def _name(names: list[str], start: int, size: int) -> str:
    last = min(start + size, len(names)) - 1
    return names[start] if last == start else f"{names[start]} to {names[last]}"


def _table(results: StudyResults, found: list[_Merge]) -> Table:
    tasks = _tasks(results, found[0])
    means = {
        task: tuple(number(float(merge.values[i].mean()), "{:.3f}") for merge in found)
        for i, task in enumerate(tasks)
    }
    ranges = [(float(merge.values.min()), float(merge.values.max())) for merge in found]
    return Table(
        "Mean coefficient of every task over all tensors, and the range over tasks and tensors",
        (
            words("method", (merge.method for merge in found)),
            *(Column(task, cells) for task, cells in means.items()),
            Column("least", tuple(number(low, "{:.3f}") for low, _ in ranges)),
            Column("most", tuple(number(high, "{:.3f}") for _, high in ranges)),
            words("task vectors", (merge.thinned for merge in found)),
        ),
    )


def _thinned(recipe: bytes) -> str:
    settings = header_of(recipe)[0].get("__metadata__", {})
    selection = json.loads(settings.get("selection", "null"))
    return "whole" if selection is None else f"trimmed to {selection.get('density')}"
