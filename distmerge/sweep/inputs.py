"""A study's files by their headers: everything that does not fit, all at once, no tensor read."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distmerge.coordinator import Source
from distmerge.errors import CheckpointError, DataError, DistmergeError, problem_list
from distmerge.methods.contract import PRETRAINED
from distmerge.models import (
    CheckpointFile,
    head_shapes,
    header_problems,
    metadata_problems,
    tower_shapes,
)
from distmerge.spec import TaskFiles, TowerConfig, load_tower_config
from distmerge.tasks import ROLES, Role


@dataclass(frozen=True)
class Stock:
    """A task's images by what their files say; None where only the sweep can count."""

    classes: int
    images: Mapping[Role, int] | None


@dataclass(frozen=True)
class Inputs:
    """What is known of a study's files before anything is loaded."""

    config: TowerConfig
    types: Mapping[str, str]
    """How each model's tensors are stored."""
    stocks: Mapping[str, Stock]
    warnings: tuple[str, ...]

    @property
    def counts(self) -> dict[tuple[str, Role], int]:
        """How many images each role of each task has, as far as that is known."""
        return {
            (task, role): number
            for task, stock in self.stocks.items()
            for role, number in (stock.images or {}).items()
        }

    @property
    def counted(self) -> bool:
        """Whether all images are counted."""
        return all(stock.images is not None for stock in self.stocks.values())


def read_inputs(source: Source) -> Inputs:
    """Give what the headers say.

    Raises:
        CheckpointError: lists every file, tensor and head that does not fit, and wrong data too.
        DataError: lists what is wrong with the tasks' data, if nothing else is.
    """
    config = load_tower_config(source.files.tower)
    problems: list[str] = []
    paths = {PRETRAINED: source.files.base}
    paths |= {task.name: task.checkpoint for task in source.files.tasks}
    files: dict[str, CheckpointFile] = {}
    for name, path in paths.items():
        try:
            files[name] = CheckpointFile(path)
            found = [*header_problems(files[name], tower_shapes(config))]
            found += metadata_problems(files[name], config)
            problems += [f"{name}: {problem}" for problem in found]
        except CheckpointError as error:
            problems.append(f"{name}: {error}")
    stocks, wrong_data = {}, []
    for task in source.files.tasks:
        try:
            stocks[task.name] = _stock(task, source)
            problems += _head_problems(task, stocks[task.name].classes, config)
        except DistmergeError as error:
            wrong_data.append(str(error))
    if problems or wrong_data:
        kind = CheckpointError if problems else DataError
        raise kind(problem_list("inputs that do not fit", [*problems, *wrong_data]))
    types = {name: _types(file) for name, file in files.items()}
    return Inputs(config, types, stocks, tuple(_warnings(source, types, stocks)))


def _head_problems(task: TaskFiles, num_classes: int, config: TowerConfig) -> Iterator[str]:
    expected = head_shapes(num_classes, config.output_dim)
    try:
        found = list(header_problems(CheckpointFile(task.head), expected, "the head"))
    except CheckpointError as error:
        found = [str(error)]
    for problem in found:
        yield f"task {task.name}: head for {num_classes} classes: {problem}"


def _stock(task: TaskFiles, source: Source) -> Stock:
    """Give a task's class count and, of arrays, its image counts.

    Raises:
        CheckpointError: the head, which tells the classes of other data, cannot be read.
        DataError: the arrays cannot be read, or hold too few images.
    """
    if not (isinstance(task.data, Path) and any(task.data.glob("*.images.npy"))):
        head = CheckpointFile(task.head).tensors.get("bias")
        return Stock(head.shape[0] if head and head.shape else 0, None)
    place = f"task {task.name}, {task.data}"
    try:
        classes = len(json.loads((task.data / "classes.json").read_text(encoding="utf-8")))
        held: dict[Role, int] = {
            role: len(np.load(task.data / f"{role}.images.npy", mmap_mode="r", allow_pickle=False))
            for role in ROLES
            if not (role == "adapt" and source.transductive)
        }
    except (OSError, ValueError, EOFError, TypeError) as error:
        raise DataError(f"{place}: {error}") from error
    asked = source.images.model_dump()
    few = [
        f"{role}.images.npy holds {number} images, expected at least {asked[role] or 1}"
        for role, number in held.items()
        if number < (asked[role] or 1)
    ]
    if few:
        raise DataError(f"{place}: {'; '.join(few)}")
    images = {role: asked[role] or number for role, number in held.items()}
    images["adapt"] = images.get("adapt", images["report"])
    images |= dict.fromkeys(source.levels, images["report"])
    return Stock(classes, images)


def _types(file: CheckpointFile) -> str:
    kinds = Counter(info.dtype for info in file.tensors.values())
    return "+".join(sorted(kinds))


def _warnings(
    source: Source, types: Mapping[str, str], stocks: Mapping[str, Stock]
) -> Iterator[str]:
    if len(set(types.values())) > 1:
        listed = ", ".join(f"{name} {kind}" for name, kind in types.items())
        yield (
            f"checkpoints are stored in different types ({listed}): a task vector then holds "
            "rounding of the coarser one"
        )
    models = {PRETRAINED: source.files.base}
    models |= {task.name: task.checkpoint for task in source.files.tasks}
    same: dict[Path, list[str]] = {}
    for name, path in models.items():
        same.setdefault(path.resolve(), []).append(name)
    for path, names in same.items():
        if len(names) > 1:
            yield f"{' and '.join(names)} are the same file: {path}"
    uncounted = [name for name, stock in stocks.items() if stock.images is None]
    if uncounted:
        yield f"images are counted once they are decoded, by the sweep: {', '.join(uncounted)}"
