"""Everything that a study's files hold, loaded once per process."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from distmerge.coordinator.features import FeatureKey, feature_keys
from distmerge.errors import CheckpointError, problem_list
from distmerge.methods.contract import PRETRAINED
from distmerge.models import Head, Tower, file_digest, load_head, load_state
from distmerge.spec import ImageCounts, ModelFiles, TowerConfig, digest, load_tower_config
from distmerge.tasks import ROLES, Task, load_tasks
from distmerge.taskvectors import TaskVectors, task_vectors


@dataclass(frozen=True)
class Source:
    """Where a study's models and images come from; small, so that it travels to workers."""

    files: ModelFiles
    images: ImageCounts
    transductive: bool


@dataclass(frozen=True)
class Material:
    """The parts of a study that every process needs: tower, tasks and heads."""

    config: TowerConfig
    tower: Tower
    tasks: tuple[Task, ...]
    heads: Mapping[str, Head]

    def task(self, name: str) -> Task:
        """Give the task of that name."""
        return next(task for task in self.tasks if task.name == name)


@dataclass(frozen=True)
class Digests:
    """What identifies the inputs of a study, by content."""

    tower: str
    base: str
    checkpoints: Mapping[str, str]
    heads: Mapping[str, str]
    images: str
    keys: tuple[FeatureKey, ...]

    def identity(self) -> list[object]:
        """Give what decides the numbers of a run, as JSON-like content."""
        checkpoints, heads = sorted(self.checkpoints.items()), sorted(self.heads.items())
        return [self.tower, self.base, checkpoints, heads, self.images]


def load_material(source: Source) -> Material:
    """Give tower, tasks and heads.

    Raises:
        CheckpointError: the tower's description is wrong, or lists every head that does not fit.
        DataError: lists what is wrong with the tasks' data.
    """
    config = load_tower_config(source.files.tower)
    tasks = load_tasks(source.files.tasks, source.images, transductive=source.transductive)
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
    return Material(config, Tower(config), tasks, heads)


def load_vectors(source: Source, tower: Tower) -> TaskVectors:
    """Give the bank of task vectors.

    Raises:
        CheckpointError: lists every tensor of every model that does not fit.
    """
    tuned = {task.name: load_state(task.checkpoint) for task in source.files.tasks}
    return task_vectors(load_state(source.files.base), tuned, tower.shapes)


def source_digests(source: Source, material: Material) -> Digests:
    """Give the content digests of a study's inputs.

    Raises:
        CheckpointError: a file is missing.
    """
    tower = digest(json.loads(material.config.model_dump_json()))
    base = file_digest(source.files.base)
    checkpoints = {task.name: file_digest(task.checkpoint) for task in source.files.tasks}
    heads = {task.name: file_digest(task.head) for task in source.files.tasks}
    images = {
        (task.name, role): task.images(role).digest for task in material.tasks for role in ROLES
    }
    keys = feature_keys(tower, {**checkpoints, PRETRAINED: base}, heads, images)
    named = sorted([task, role, value] for (task, role), value in images.items())
    return Digests(tower, base, checkpoints, heads, digest(named), keys)
