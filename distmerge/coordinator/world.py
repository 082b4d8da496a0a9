"""Everything that a study's files hold, loaded once per process."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from distmerge.errors import CapacityError, CheckpointError, DataError, problem_list
from distmerge.methods.contract import PRETRAINED
from distmerge.models import (
    Head,
    Tower,
    Wanted,
    checkpoint_files,
    file_digest,
    load_head,
    zero_shot_files,
)
from distmerge.spec import (
    ACTIVATIONS_MB,
    AnyTower,
    BankType,
    ImageCounts,
    ModelFiles,
    Precision,
    TaskFiles,
    ZeroShotHead,
    load_tower_config,
)
from distmerge.tasks import Decoding, Found, Level, Task, load_tasks, with_levels
from distmerge.taskvectors import TaskVectors, task_vectors

_SAME_FILES = "put the same files there, or all of them where every node reads them"


@dataclass(frozen=True)
class Source:
    """Where a study's models and images come from; small, so that it travels to workers."""

    files: ModelFiles
    images: ImageCounts
    transductive: bool
    unseen: tuple[str, ...] = ()
    levels: tuple[Level, ...] = ()
    corruption_seed: int = 0
    cache: Path = Path("images")
    """Folder of decoded and of corrupted images; zero-shot heads lie in ``heads`` beside it."""
    found: Mapping[str, Found] | None = None
    """By task, what the driver found its data to be; other processes must find the same."""
    heads: Mapping[str, Head] = field(default_factory=dict)
    """Zero-shot heads by task; they travel, since their files lie in the driver's cache."""
    bank: BankType = "float32"
    """How task vectors are held."""
    precision: Precision = "float32"
    """What adaptation steps compute the tower in."""
    activations_mb: int = ACTIVATIONS_MB
    """Room for the activations of one forward of an adaptation step."""
    digests: Mapping[Path, str] = field(default_factory=dict)
    """By file, what the driver read; other processes must read the same."""

    @property
    def seen(self) -> tuple[TaskFiles, ...]:
        """The files of the tasks that are merged."""
        return tuple(task for task in self.files.tasks if task.name not in self.unseen)

    @property
    def checkpoints(self) -> dict[str, Path]:
        """Every model's file, that of the base under ``PRETRAINED``."""
        tuned = {task.name: task.checkpoint for task in self.files.tasks}
        return {PRETRAINED: self.files.base, **tuned}


@dataclass(frozen=True)
class Material:
    """The parts of a study that every process needs: tower, tasks and heads.

    ``tasks`` are merged; ``unseen`` ones are reported on, and nothing else. ``precision`` and
    ``activations_mb`` say how adaptation steps are computed.
    """

    config: AnyTower
    tower: Tower
    tasks: tuple[Task, ...]
    heads: Mapping[str, Head]
    unseen: tuple[Task, ...] = ()
    precision: Precision = "float32"
    activations_mb: int = ACTIVATIONS_MB

    def task(self, name: str) -> Task:
        """Give the task of that name, seen or unseen."""
        return next(task for task in (*self.tasks, *self.unseen) if task.name == name)


def load_material(source: Source) -> Material:
    """Give tower, tasks and heads.

    Raises:
        CheckpointError: the tower's description is wrong, or lists every head that does not fit, or
            those files that are not the driver's.
        DataError: lists what is wrong with the tasks' data.
    """
    refuse_other_files(source, source.files.tower, *_head_files(source))
    config = load_tower_config(source.files.tower)
    tasks = load_tasks(
        source.files.tasks,
        source.images,
        transductive=source.transductive,
        decoding=Decoding(config.preprocess, source.cache, source.files.tower.parent),
        found=source.found,
    )
    source = with_head_files(source, tasks)
    heads, problems = {}, []
    for task, files in zip(tasks, source.files.tasks, strict=True):
        try:
            heads[task.name] = source.heads.get(task.name) or load_head(
                files.head_file, num_classes=len(task.classes), feature_dim=config.output_dim
            )
        except CheckpointError as error:
            problems.append(f"task {task.name}: {error}")
    if problems:
        raise CheckpointError(problem_list("heads", problems))
    seen = tuple(
        with_levels(task, source.levels, seed=source.corruption_seed, cache=source.cache)
        for task in tasks
        if task.name not in source.unseen
    )
    unseen = tuple(task for task in tasks if task.name in source.unseen)
    _refuse_other_data(source, (*seen, *unseen))
    return Material(
        config, Tower(config), seen, heads, unseen, source.precision, source.activations_mb
    )


def found_source(source: Source, material: Material) -> Source:
    """Give the source for other processes: they need not check again what was checked here."""
    return replace(source, found={t.name: t.found for t in (*material.tasks, *material.unseen)})


def with_digests(source: Source) -> Source:
    """Give the source with what its files hold now; from here on they must not change.

    Raises:
        CheckpointError: a file is missing.
    """
    files = (source.files.tower, *source.checkpoints.values(), *_head_files(source))
    return replace(source, digests={path: file_digest(path) for path in files})


def _head_files(source: Source) -> list[Path]:
    """Give the heads that are read from files, by every process."""
    heads = (task.head for task in source.files.tasks if task.name not in source.heads)
    return [head for head in heads if isinstance(head, Path)]


def refuse_other_files(source: Source, *paths: Path) -> None:
    """Check that files hold what the driver read, as far as it has read them.

    Raises:
        CheckpointError: one is missing, or lists those that hold something else.
    """
    problems = [
        f"{path}: digest {found}, expected {source.digests[path]}"
        for path in paths
        if path in source.digests and (found := file_digest(path)) != source.digests[path]
    ]
    if problems:
        title = "files are not those that the driver read when the sweep began"
        raise CheckpointError(problem_list(f"{title}; {_SAME_FILES}", problems))


def _refuse_other_data(source: Source, tasks: tuple[Task, ...]) -> None:
    known = source.found or {}
    problems = [
        f"task {task.name}, {problem}"
        for task in tasks
        if task.name in known
        for problem in known[task.name].problems(task.found.digests)
    ]
    if problems:
        title = f"this node's data are not the driver's; {_SAME_FILES}"
        raise DataError(problem_list(title, problems))


def with_head_files(source: Source, tasks: tuple[Task, ...]) -> Source:
    """Give the source with every zero-shot head, and as a file, made unless it is there.

    Args:
        source: where the files are.
        tasks: all of them, which know their classes.

    Raises:
        CheckpointError: lists what does not fit, of all heads.
    """
    classes = {task.name: task.classes for task in tasks}
    wanted = {
        task.name: Wanted(task.head, classes[task.name])
        for task in source.files.tasks
        if isinstance(task.head, ZeroShotHead)
    }
    if not wanted:
        return source
    width = load_tower_config(source.files.tower).output_dim
    made = zero_shot_files(wanted, feature_dim=width, cache=source.cache.with_name("heads"))
    filed = tuple(
        t.model_copy(update={"head": made.get(t.name, t.head)}) for t in source.files.tasks
    )
    heads = {
        name: load_head(path, num_classes=len(classes[name]), feature_dim=width)
        for name, path in made.items()
    }
    files = source.files.model_copy(update={"tasks": filed})
    return replace(source, files=files, heads=heads)


def load_vectors(source: Source, tower: Tower) -> TaskVectors:
    """Give the bank of task vectors.

    Raises:
        CheckpointError: lists every file that cannot be read, or tensors that do not fit.
    """
    tuned = checkpoint_files(source.checkpoints)
    base = tuned.pop(PRETRAINED)
    unseen = {name: tuned.pop(name) for name in source.unseen}  # they answer for themselves alone
    return task_vectors(base, tuned, tower.shapes, unseen, dtype=getattr(torch, source.bank))


def placed(material: Material, device: torch.device) -> Material:
    """Give the material with its tensors on ``device``."""
    heads = {name: head.to(device) for name, head in material.heads.items()}
    return replace(material, tower=material.tower.to(device), heads=heads)


def checked_device(name: str) -> torch.device:
    """Give a device that is really there.

    Raises:
        CapacityError: CUDA is asked for and not visible, and the CPU would be a hundred times
            slower; or torch knows no such device.
    """
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise CapacityError(
            f"device {name} was granted, but this process sees no GPU; check the driver, or set "
            "ray.actor_gpus and ray.trial_gpus to 0; in a notebook, ask for the cpu"
        )
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise CapacityError(f"got device {name!r}, expected cpu, cuda or cuda:NUMBER") from error
