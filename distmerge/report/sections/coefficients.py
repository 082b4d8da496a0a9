"""How much of every task vector went into a merge, tensor by tensor."""

import json
from typing import NamedTuple

import numpy as np
import pandas as pd

from distmerge.report.content import Column, Figure, Omitted, Section, Table, number, slug_of, words
from distmerge.report.pictures import Content, read_content
from distmerge.report.source import StudyResults

MOST_CELLS = 3000
"""In one figure; beyond, the tensors of a block are drawn as their mean."""
_COEFFICIENTS = "coefficients"
_SAME = 1e-9


class Merge(NamedTuple):
    """The coefficients of a method's best run."""

    method: str
    run_id: str
    values: np.ndarray
    """Task by tensor."""
    names: list[str]
    blocks: list[str]
    """Which block of the tower a tensor is of; as long as the names."""
    thinned: str
    """What was done to the task vectors first."""


def coefficients(results: StudyResults) -> Section | Omitted:
    """Give the merging coefficients of every method's best run, from its recipe."""
    title = "Merging coefficients"
    found = merges(results)
    if not found:
        return Omitted(title, "no recipe with coefficients lies beside the rows")
    learned = [merge for merge in found if np.ptp(merge.values) > _SAME]
    figures = [_figure(results, merge) for merge in learned]
    without = [method for method in results.series if method not in {m.method for m in found}]
    sentences = [
        (
            "A task's coefficient says how much of its fine-tuning is added to the pretrained "
            "weights of a tensor. Methods with one number for all of them are in the table alone."
        ),
    ]
    if without:
        sentences.append(f"No coefficients are stored of {', '.join(without)}.")
    return Section("coefficients", title, tuple(sentences), (*figures, _table(results, found)))


def merges(results: StudyResults) -> list[Merge]:
    """Give the coefficients of every method that stored some, the best method first."""
    return [m for method, run in results.firsts.items() if (m := _merge(results, method, run))]


def short(block: str) -> str:
    """Give a block's name as it stands at an axis."""
    return block.removeprefix("block.")


def _merge(results: StudyResults, method: str, run_id: str) -> Merge | None:
    """Give a run's coefficients; None where its recipe is missing, or it is a routed model."""
    file = results.store.find_file(f"_recipes/{results.name}/{run_id}.safetensors")
    content = read_content(file, run_id)
    values = content.tensors.get(_COEFFICIENTS)
    if values is None:
        return None
    names = json.loads(content.texts.get("tensors", "[]"))
    blocks = json.loads(content.texts.get("blocks", "[]"))
    if len(names) != values.shape[1]:  # an older recipe: the exported best model has the names
        exported = f"_best/{results.name}/{run_id}/coefficients.safetensors"
        named = read_content(results.store.find_file(exported), exported).tensors
        if len(named) == values.shape[1]:
            values, names = np.stack([*named.values()], axis=1), [*named]
        else:
            names = [f"tensor {i + 1} of {values.shape[1]}" for i in range(values.shape[1])]
        blocks = [""] * len(names)
    return Merge(method, run_id, values, names, blocks, _thinned(content))


def _tasks(results: StudyResults, count: int) -> list[str]:
    tasks = list(results.tasks)
    return tasks if len(tasks) == count else [f"{i}" for i in range(count)]


def _figure(results: StudyResults, merge: Merge) -> Figure:
    tasks, cells, drawn = _tasks(results, len(merge.values)), _cells(merge), "tensor"
    if _is_by_block(merge, len(tasks)):
        cells, drawn = cells.groupby("block", sort=False).agg(name=("block", "first")), "block"
        cells = cells.reset_index().assign(place=range(1, len(cells) + 1))
    blocks = np.array(merge.blocks)
    frame = pd.concat(
        [
            cells.assign(
                label=task,
                value=row
                if drawn == "tensor"
                else [row[blocks == block].mean() for block in cells["block"]],
            )
            for task, row in zip(tasks, merge.values, strict=True)
        ],
        ignore_index=True,
    )
    frame = frame.assign(block=frame["block"].map(short))
    if not any(merge.blocks):
        frame = frame.drop(columns="block")
    return Figure(
        slug=f"coefficients-{slug_of(merge.method)}",
        title=f"Coefficients of {merge.method}, run {merge.run_id}",
        kind="heat",
        frame=frame,
        x="tensor, in the order of the checkpoint"
        if "block" not in frame
        else "tensors, block by block" * (drawn == "tensor") + "block" * (drawn == "block"),
        y="task",
        says=f"{len(tasks)} tasks by {len(cells)} {drawn}s; the table has each task's mean.",
        shade="coefficient",
        cell=drawn,
    )


def _cells(merge: Merge) -> pd.DataFrame:
    places = range(1, len(merge.names) + 1)
    return pd.DataFrame({"place": places, "name": merge.names, "block": merge.blocks})


def _is_by_block(merge: Merge, num_tasks: int) -> bool:
    """Whether all tensors of a block have one coefficient, or there are too many to draw."""
    if not any(merge.blocks):
        return False
    blocks = np.array(merge.blocks)
    spreads = [np.ptp(merge.values[:, blocks == b], axis=1).max() for b in set(merge.blocks)]
    return bool(max(spreads) <= _SAME or num_tasks * len(merge.names) > MOST_CELLS)


def _table(results: StudyResults, found: list[Merge]) -> Table:
    tasks = _tasks(results, len(found[0].values))
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


def _thinned(recipe: Content) -> str:
    selection = json.loads(recipe.texts.get("selection", "null"))
    return "whole" if selection is None else f"trimmed to {selection.get('density')}"
