"""One task: its class names, and its images by role."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np

from distmerge.errors import DataError, problem_list
from distmerge.files import whole_file
from distmerge.spec import (
    ImageCounts,
    Preprocess,
    RoleData,
    TaskFiles,
    Tokens,
    WholeData,
    digest,
)
from distmerge.tasks.arrays import Decoding, Described, array_folder
from distmerge.tasks.corrupted import REVISION, Level, corrupted_images
from distmerge.tasks.found import Found, checked_once, file_array_digest, made_once
from distmerge.tasks.reading import ArrayFolder
from distmerge.tasks.samples import (
    SAMPLES,
    LabelledSamples,
    Samples,
    array_kind,
    sample_hashes,
)

Role = Literal["adapt", "select", "report", "L1", "L2", "L3"]
ROLES: tuple[Role, ...] = ("adapt", "select", "report")  # the others are corrupted report images


@dataclass(frozen=True)
class Task:
    """A classification task with its three data roles, which are never mixed."""

    name: str
    classes: tuple[str, ...]
    adapt: Samples
    select: LabelledSamples
    report: LabelledSamples
    corrupted: Mapping[Level, Samples] = field(default_factory=dict)
    folder: str = ""
    """Name of the folder of its arrays."""

    def samples(self, role: Role) -> Samples:
        """Give the unlabelled samples of a role; those of a level are the report images corrupted.

        Raises:
            KeyError: the task was loaded without that level.
        """
        if role == "adapt":
            return self.adapt
        if role == "select":
            return self.select.samples
        return self.report.samples if role == "report" else self.corrupted[role]

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles that the task has images of."""
        return (*ROLES, *self.corrupted)

    @property
    def found(self) -> Found:
        """What other processes need to know of these data."""
        return Found(self.folder, {role: self.samples(role).digest for role in self.roles})


def load_tasks(
    files: tuple[TaskFiles, ...],
    counts: ImageCounts,
    *,
    transductive: bool,
    decoding: Decoding,
    found: Mapping[str, Found] | None = None,
) -> tuple[Task, ...]:
    """Give the tasks whose data lie in ``files``, the first ``counts`` images of every role.

    Args:
        files: each ``data`` is a folder with ``classes.json`` (a list of names), and per role
            ``ROLE.images.npy`` (uint8, image x height x width x 3), or of texts ``ROLE.tokens.npy``
            (integers, text x token), and ``ROLE.labels.npy`` (int64; not needed for adapt), or
            another kind, which ``decoding`` turns into this.
        counts: how many samples of each role; a smaller stock is an error.
        transductive: adapt on the report samples, without their labels.
        decoding: the tower's input, and the cache of what was decoded.
        found: by task, what the driver found and checked; sources whose arrays are cached under
            that name are not listed again, nor are roles compared.

    Raises:
        DataError: lists every missing, empty, malformed or overlapping role of every task.
    """
    problems: list[str] = []
    tasks = []
    for task in files:
        try:
            known = (found or {}).get(task.name)
            folder = _folder(task, decoding, known, transductive=transductive)
            place = f"task {task.name}, {task.data}"
            reading = ArrayFolder(place, folder, decoding.preprocess, decoding.cache)
            tasks.append(_load_task(task.name, reading, counts, transductive=transductive))
            if known is None:
                _refuse_overlap(reading, tasks[-1], transductive=transductive)
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError(problem_list("data of the tasks", problems))
    return tuple(tasks)


def with_levels(task: Task, levels: tuple[Level, ...], *, seed: int, cache: Path) -> Task:
    """Give the task with its report images corrupted; made once, then mapped from ``cache``.

    Args:
        task: whose report images.
        levels: L1, L2 or L3.
        seed: addresses which corruption an image gets.
        cache: folder of what was made before.

    Raises:
        DataError: the cache cannot be written.
    """
    clean = task.report.samples
    corrupted = {}
    for level in levels:
        path = cache / f"{digest([REVISION, clean.digest, seed, task.name, level])}.npy"
        made_once(path, partial(_save_corrupted, path, clean, seed, task.name, level))
        pixels = np.load(path, mmap_mode="r", allow_pickle=False)
        corrupted[level] = Samples(pixels, file_array_digest(path, pixels, cache))
    return replace(task, corrupted=corrupted)


def _save_corrupted(path: Path, clean: Samples, seed: int, task: str, level: Level) -> None:
    array = corrupted_images(clean, seed=seed, task=task, level=level).array
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def _folder(
    files: TaskFiles, decoding: Decoding, known: Found | None, *, transductive: bool
) -> Path:
    """Give the folder of the task's arrays, made of its data if they are of another kind.

    Raises:
        DataError: they cannot become arrays.
    """
    data = described_data(files, decoding.preprocess, transductive=transductive)
    if isinstance(data, Path):
        return data
    if known is not None and (decoding.cache / known.folder).exists():
        return decoding.cache / known.folder
    try:
        return array_folder(data, decoding)
    except DataError as error:
        raise DataError(f"task {files.name}, data: {error}") from error


def described_data(
    files: TaskFiles, preprocess: Preprocess | Tokens, *, transductive: bool
) -> Path | Described:
    """Give the folder of a task's arrays, or what describes its data of another kind.

    Raises:
        DataError: nothing is given to adapt on.
    """
    data = files.data
    if isinstance(data, Path):
        if any(data.glob(f"*.{array_kind(preprocess)}.npy")):
            return data
        return WholeData(path=str(data))
    if isinstance(data, RoleData) and data.adapt is None and not transductive:
        raise DataError(
            f"task {files.name}, {data}: adapt: not given; expected unlabelled samples, or "
            "protocol: transductive"
        )
    return data


def _load_task(name: str, reading: ArrayFolder, counts: ImageCounts, *, transductive: bool) -> Task:
    classes = reading.classes()
    select = reading.labelled("select", counts.select, len(classes))
    report = reading.labelled("report", counts.report, len(classes))
    adapt = report.samples
    if not transductive:
        adapt = reading.samples("adapt", counts.adapt)
    return Task(name, classes, adapt, select, report, folder=reading.folder.name)


def _refuse_overlap(reading: ArrayFolder, task: Task, *, transductive: bool) -> None:
    """Check that no sample is in two roles; what was found good is not read again."""
    contents = [task.samples(role).digest for role in ROLES]
    check = partial(_check_overlap, reading, task, transductive=transductive)
    checked_once(digest(["no overlap", transductive, contents]), reading.cache, check)


def _check_overlap(reading: ArrayFolder, task: Task, *, transductive: bool) -> None:
    hashes = {role: sample_hashes(task.samples(role).array) for role in ROLES}
    kind = SAMPLES[array_kind(reading.preprocess)]
    for one, other in combinations(ROLES, 2):
        allowed = transductive and (one, other) == ("adapt", "report")
        shared = hashes[one].keys() & hashes[other].keys()
        if shared and not allowed:
            names = _names(reading.folder, one), _names(reading.folder, other)
            pairs = ((hashes[one][content], hashes[other][content]) for content in shared)
            known = [f"{names[0][i]} = {names[1][j]}" for i, j in sorted(pairs) if all(names)]
            named = f" ({', '.join(known[:5])})" if known else ""
            drop = "; data: {..., shared: drop} leaves them out of the earlier role"
            raise DataError(
                f"{reading.place}: {len(shared)} {kind} are in both {one} and {other}{named}; "
                f"roles must not share {kind} (protocol: transductive adapts on the report {kind} "
                f"on purpose{drop if known else ''})"
            )


def _names(folder: Path, role: str) -> list[str]:
    """Give the addresses of a role's images; none are known of arrays."""
    path = folder / f"{role}.names.json"
    return list(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else []
