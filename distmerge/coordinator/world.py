"""Everything that a study's files hold, loaded once per process."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from distmerge.coordinator.features import FeatureKey, feature_keys
from distmerge.errors import CapacityError, CheckpointError, problem_list
from distmerge.methods.contract import PRETRAINED
from distmerge.models import Head, Tower, checkpoint_files, file_digest, load_head
from distmerge.spec import (
    ImageCounts,
    ModelFiles,
    TaskFiles,
    TowerConfig,
    digest,
    load_tower_config,
)
from distmerge.tasks import Decoding, Level, Role, Task, load_tasks, with_levels
from distmerge.taskvectors import Layout, TaskVectors, task_vectors


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
    """Folder of decoded and of corrupted images."""

    @property
    def seen(self) -> tuple[TaskFiles, ...]:
        """The files of the tasks that are merged."""
        return tuple(task for task in self.files.tasks if task.name not in self.unseen)


@dataclass(frozen=True)
class Material:
    """The parts of a study that every process needs: tower, tasks and heads.

    ``tasks`` are merged; ``unseen`` ones are reported on, and nothing else.
    """

    config: TowerConfig
    tower: Tower
    tasks: tuple[Task, ...]
    heads: Mapping[str, Head]
    unseen: tuple[Task, ...] = ()

    def task(self, name: str) -> Task:
        """Give the task of that name, seen or unseen."""
        return next(task for task in (*self.tasks, *self.unseen) if task.name == name)


@dataclass(frozen=True)
class Digests:
    """What identifies the inputs of a study, by content."""

    tower: str
    base: str
    checkpoints: Mapping[str, str]
    heads: Mapping[str, str]
    images: str
    keys: tuple[FeatureKey, ...]

    def crossed(self, role: Role) -> bool:
        """Whether every merged task's model looks at every merged task's images of a role."""
        return any(key.crossed for key in self.keys if key.role == role)

    def identity(self) -> list[object]:
        """Give what decides the numbers of a run, as JSON-like content; the tasks' order does."""
        checkpoints, heads = list(self.checkpoints.items()), list(self.heads.items())
        return [self.tower, self.base, checkpoints, heads, self.images]


def load_material(source: Source) -> Material:
    """Give tower, tasks and heads.

    Raises:
        CheckpointError: the tower's description is wrong, or lists every head that does not fit.
        DataError: lists what is wrong with the tasks' data.
    """
    config = load_tower_config(source.files.tower)
    tasks = load_tasks(
        source.files.tasks,
        source.images,
        transductive=source.transductive,
        decoding=Decoding(config.preprocess.size, source.cache),
    )
    heads, problems = {}, []
    for task, files in zip(tasks, source.files.tasks, strict=True):
        try:
            heads[task.name] = load_head(
                files.head, num_classes=len(task.classes), feature_dim=config.output_dim
            )
        except CheckpointError as error:
            problems.append(f"task {task.name}: {error}")
    if problems:
        raise CheckpointError(problem_list("heads", problems))
    seed, cache = source.corruption_seed, source.cache
    seen = tuple(
        with_levels(task, source.levels, seed=seed, cache=cache)
        for task in tasks
        if task.name not in source.unseen
    )
    unseen = tuple(task for task in tasks if task.name in source.unseen)
    return Material(config, Tower(config), seen, heads, unseen)


def load_vectors(source: Source, tower: Tower) -> TaskVectors:
    """Give the bank of task vectors.

    Raises:
        CheckpointError: lists every file that cannot be read, or every tensor of every model that
            does not fit.
    """
    paths = {task.name: task.checkpoint for task in source.files.tasks}
    tuned = checkpoint_files({PRETRAINED: source.files.base, **paths})
    base = tuned.pop(PRETRAINED)
    unseen = {name: tuned.pop(name) for name in source.unseen}  # they answer for themselves alone
    return task_vectors(base, tuned, tower.shapes, unseen)


def mapped_vectors(
    tasks: tuple[str, ...],
    tower: Tower,
    base: Float32[np.ndarray, " parameter"],
    vectors: Float32[np.ndarray, "task parameter"],
) -> TaskVectors:
    """Give the bank over arrays that another process owns, without a copy."""
    with warnings.catch_warnings():
        # The arrays are read-only, and so is the bank by contract.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensors = torch.from_numpy(base), torch.from_numpy(vectors)
    return TaskVectors(tasks, Layout.of(tower.shapes), *tensors)


def placed(material: Material, device: torch.device) -> Material:
    """Give the material with its tensors on ``device``."""
    heads = {name: head.to(device) for name, head in material.heads.items()}
    return replace(material, tower=material.tower.to(device), heads=heads)


def checked_device(name: str) -> torch.device:
    """Give a device that is really there.

    Raises:
        CapacityError: CUDA is asked for and not visible; running on the CPU instead would be a
            silent hundredfold slow-down.
    """
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise CapacityError(
            f"device {name} was granted, but this process sees no GPU; check the driver, or set "
            "ray.actor_gpus and ray.trial_gpus to 0"
        )
    return torch.device(name)


def tower_digest(tower: TowerConfig) -> str:
    """Give what identifies a tower's description."""
    return digest(json.loads(tower.model_dump_json()))


def source_digests(source: Source, material: Material, crossed: tuple[Role, ...] = ()) -> Digests:
    """Give the content digests of a study's inputs.

    Args:
        source: where the files are.
        material: what they hold.
        crossed: the roles on which every merged task's model looks at every such task's images.

    Raises:
        CheckpointError: a file is missing.
    """
    tower = tower_digest(material.config)
    base = file_digest(source.files.base)
    checkpoints = {task.name: file_digest(task.checkpoint) for task in source.files.tasks}
    heads = {task.name: file_digest(task.head) for task in source.files.tasks}
    images: dict[tuple[str, Role], str] = {
        (task.name, role): task.images(role).digest
        for task in material.tasks
        for role in task.roles
    }
    images |= {(task.name, "report"): task.report.images.digest for task in material.unseen}
    seen = [task.name for task in material.tasks]
    others = {(task, role): seen for task in seen for role in crossed}
    keys = feature_keys(tower, {**checkpoints, PRETRAINED: base}, heads, images, others)
    named = {f"{task} {role}": value for (task, role), value in images.items()}
    labels = {
        f"{task.name} {role}": split.digest
        for task in (*material.tasks, *material.unseen)
        for role, split in (("select", task.select), ("report", task.report))
    }
    content = digest([named, labels])
    return Digests(tower, base, checkpoints, heads, content, keys)
