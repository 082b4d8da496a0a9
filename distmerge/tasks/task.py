"""One task: its class names, and its images by role."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np

from distmerge.errors import DataError, problem_list
from distmerge.files import whole_file
from distmerge.spec import ImageCounts, RoleData, TaskFiles, WholeData, digest
from distmerge.tasks.arrays import Decoding, array_folder
from distmerge.tasks.corrupted import REVISION, Level, corrupted_images
from distmerge.tasks.images import Images, LabelledImages, array_digest, image_hashes

Role = Literal["adapt", "select", "report", "L1", "L2", "L3"]
ROLES: tuple[Role, ...] = ("adapt", "select", "report")  # the others are corrupted report images


@dataclass(frozen=True)
class Task:
    """A classification task with its three data roles, which are never mixed."""

    name: str
    classes: tuple[str, ...]
    adapt: Images
    select: LabelledImages
    report: LabelledImages
    corrupted: Mapping[Level, Images] = field(default_factory=dict)

    def images(self, role: Role) -> Images:
        """Give the unlabelled images of a role; those of a level are the report images corrupted.

        Raises:
            KeyError: the task was loaded without that level.
        """
        if role == "adapt":
            return self.adapt
        if role == "select":
            return self.select.images
        return self.report.images if role == "report" else self.corrupted[role]

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles that the task has images of."""
        return (*ROLES, *self.corrupted)


def load_tasks(
    files: tuple[TaskFiles, ...],
    counts: ImageCounts,
    *,
    transductive: bool,
    decoding: Decoding | None = None,
) -> tuple[Task, ...]:
    """Give the tasks whose data lie in ``files``, the first ``counts`` images of every role.

    Args:
        files: each ``data`` is a folder with ``classes.json`` (a list of names), and per role
            ``ROLE.images.npy`` (uint8, image x height x width x 3) and ``ROLE.labels.npy``
            (int64; not needed for adapt), or another kind, which ``decoding`` turns into this.
        counts: how many images of each role; a smaller stock is an error.
        transductive: adapt on the report images, without their labels.
        decoding: size and cache of decoded images; none: the data are arrays.

    Raises:
        DataError: lists every missing, empty, malformed or overlapping role of every task.
    """
    problems: list[str] = []
    tasks = []
    for task in files:
        try:
            folder = _folder(task, decoding, transductive=transductive)
            tasks.append(_load_task(task, folder, counts, transductive=transductive))
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
    """
    clean = task.report.images
    corrupted = {}
    for level in levels:
        path = cache / f"{digest([REVISION, clean.digest, seed, task.name, level])}.npy"
        if not path.exists():
            made = corrupted_images(clean, seed=seed, task=task.name, level=level)
            _save_array(path, made.pixels)
        pixels = np.load(path, mmap_mode="r", allow_pickle=False)
        corrupted[level] = Images(pixels, array_digest(pixels))
    return replace(task, corrupted=corrupted)


def _save_array(path: Path, array: np.ndarray) -> None:
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def _folder(files: TaskFiles, decoding: Decoding | None, *, transductive: bool) -> Path:
    """Give the folder of the task's arrays, made of its data if they are of another kind.

    Raises:
        DataError: they cannot become arrays.
    """
    data, place = files.data, f"task {files.name}, {files.data}"
    if isinstance(data, Path):
        if decoding is None or any(data.glob("*.images.npy")):
            return data
        data = WholeData(path=str(data))
    if isinstance(data, RoleData) and data.adapt is None and not transductive:
        raise DataError(
            f"{place}: adapt: not given; expected unlabelled images, or protocol: transductive"
        )
    if decoding is None:
        raise DataError(f"{place}: expected a folder of arrays")
    try:
        return array_folder(data, decoding)
    except DataError as error:
        raise DataError(f"task {files.name}, data: {error}") from error


def _load_task(files: TaskFiles, folder: Path, counts: ImageCounts, *, transductive: bool) -> Task:
    place = f"task {files.name}, {files.data}"
    classes = _classes(place, folder)
    select = _labelled(place, folder, "select", counts.select, len(classes))
    report = _labelled(place, folder, "report", counts.report, len(classes))
    if transductive:
        adapt = report.images
    else:
        pixels = _pixels(place, folder, "adapt", counts.adapt)
        adapt = Images(pixels, array_digest(pixels))
    task = Task(files.name, classes, adapt, select, report)
    _refuse_overlap(place, task, folder, transductive=transductive)
    return task


def _classes(place: str, folder: Path) -> tuple[str, ...]:
    try:
        classes = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{place}: cannot read classes.json ({error})") from error
    if not isinstance(classes, list) or len(classes) < 2:
        raise DataError(f"{place}: classes.json: expected a list of two or more class names")
    return tuple(str(name) for name in classes)


def _array(place: str, path: Path) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{place}: cannot read {path.name} ({error})") from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{place}: {path.name}: got an archive, expected one array in .npy format")
    return array


def _pixels(place: str, folder: Path, role: Role, count: int | None) -> np.ndarray:
    path = folder / f"{role}.images.npy"
    pixels = _array(place, path)
    malformed = pixels.ndim != 4 or pixels.shape[-1] != 3 or 0 in pixels.shape[1:]
    if pixels.dtype != np.uint8 or malformed:
        raise DataError(
            f"{place}: {path.name}: got {pixels.dtype} {pixels.shape}, "
            "expected uint8 (image, height, width, 3)"
        )
    if not len(pixels) or (count is not None and count > len(pixels)):
        raise DataError(
            f"{place}: {path.name} holds {len(pixels)} images, expected at least {count or 1}"
        )
    return pixels[:count]


def _labelled(
    place: str, folder: Path, role: Role, count: int | None, num_classes: int
) -> LabelledImages:
    pixels = _pixels(place, folder, role, count)
    path = folder / f"{role}.labels.npy"
    labels = np.asarray(_array(place, path))
    stock = len(_array(place, folder / f"{role}.images.npy"))
    if labels.shape != (stock,) or labels.dtype.kind not in "iu":
        raise DataError(
            f"{place}: {path.name}: got {labels.dtype} {labels.shape}, "
            f"expected integers ({stock},), one for each image"
        )
    labels = labels[: len(pixels)]
    if labels.min() < 0 or labels.max() >= num_classes:
        raise DataError(
            f"{place}: {path.name}: labels from {labels.min()} to {labels.max()}, "
            f"expected 0 to {num_classes - 1} for the {num_classes} names in classes.json"
        )
    labels = labels.astype(np.int64)
    return LabelledImages(Images(pixels, array_digest(pixels)), labels)


def _refuse_overlap(place: str, task: Task, folder: Path, *, transductive: bool) -> None:
    hashes = {role: image_hashes(task.images(role).pixels) for role in ROLES}
    for one, other in combinations(ROLES, 2):
        allowed = transductive and (one, other) == ("adapt", "report")
        shared = hashes[one].keys() & hashes[other].keys()
        if shared and not allowed:
            names = _names(folder, one), _names(folder, other)
            pairs = ((hashes[one][content], hashes[other][content]) for content in shared)
            known = [f"{names[0][i]} = {names[1][j]}" for i, j in sorted(pairs) if all(names)]
            named = f" ({', '.join(known[:5])})" if known else ""
            drop = "; data: {..., shared: drop} leaves them out of the earlier role"
            raise DataError(
                f"{place}: {len(shared)} images are in both {one} and {other}{named}; roles must "
                "not share images (protocol: transductive adapts on the report images on purpose"
                f"{drop if known else ''})"
            )


def _names(folder: Path, role: str) -> list[str]:
    """Give the addresses of a role's images; none are known of arrays."""
    path = folder / f"{role}.names.json"
    return list(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else []
