"""Where the parts of a zoo lie in its folder; every part appears whole or not at all."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from distmerge.files import whole_file
from distmerge.spec import ModelFiles, TaskFiles
from distmerge.zoo.images import Role
from distmerge.zoo.pictures import Pictures
from distmerge.zoo.text_recipe import AnyRecipe


class TaskFolder(NamedTuple):
    """The files of one task."""

    root: Path

    @property
    def data(self) -> Path:
        """The folder that ``distmerge.tasks`` reads."""
        return self.root / "data"

    @property
    def head(self) -> Path:
        """The frozen head."""
        return self.root / "head.safetensors"

    @property
    def checkpoint(self) -> Path:
        """The fine-tuned weights."""
        return self.root / "checkpoint.safetensors"

    @property
    def accuracy(self) -> Path:
        """Accuracies on the select images; written last."""
        return self.root / "accuracy.json"

    @property
    def features(self) -> Path:
        """Pretrained features of the training images."""
        return self.root / "train.features.npy"


class ZooFolder(NamedTuple):
    """The files of a zoo."""

    root: Path

    @property
    def tower(self) -> Path:
        """The tower's description."""
        return self.root / "tower.json"

    @property
    def base(self) -> Path:
        """The pretrained weights."""
        return self.root / "base.safetensors"

    @property
    def finished(self) -> Path:
        """What was built and how well it works; written last, so it marks a finished zoo."""
        return self.root / "zoo.json"

    def task(self, name: str) -> TaskFolder:
        """Give the files of a task."""
        return TaskFolder(self.root / name)

    def files(self, recipe: AnyRecipe) -> ModelFiles:
        """Give the finished zoo as a study would list it."""
        tasks = [
            TaskFiles(
                name=task.name,
                checkpoint=self.task(task.name).checkpoint,
                head=self.task(task.name).head,
                data=self.task(task.name).data,
            )
            for task in recipe.tasks
        ]
        return ModelFiles(tower=self.tower, base=self.base, tasks=tuple(tasks))


def zoo_folder(recipe: AnyRecipe, root: Path) -> ZooFolder:
    """Give the folder of a recipe; another recipe has another folder."""
    return ZooFolder(root / "zoo" / f"{recipe.name}-{recipe.digest}")


def write_task(
    folder: TaskFolder,
    classes: tuple[str, ...],
    roles: Mapping[Role, Pictures],
    features: Float32[np.ndarray, "image feature"],
) -> None:
    """Write a task's samples by role and the pretrained features of its training samples."""
    temporary = TaskFolder(folder.root.with_name(f".{folder.root.name}.{os.getpid()}.tmp"))
    temporary.data.mkdir(parents=True)
    write_json(temporary.data / "classes.json", list(classes))
    for role, pictures in roles.items():
        place = _role_prefix(temporary, role)
        np.save(f"{place}.{pictures.kind}.npy", pictures.pixels, allow_pickle=False)
        np.save(f"{place}.labels.npy", pictures.labels, allow_pickle=False)
    np.save(temporary.features, features, allow_pickle=False)
    temporary.root.rename(folder.root)


def read_pictures(folder: TaskFolder, role: Role) -> Pictures:
    """Give the images of a role, or the token numbers of its texts."""
    place = _role_prefix(folder, role)
    images = Path(f"{place}.images.npy")
    return Pictures(
        np.load(images if images.exists() else f"{place}.tokens.npy", allow_pickle=False),
        np.load(f"{place}.labels.npy", allow_pickle=False),
    )


def read_classes(folder: TaskFolder) -> tuple[str, ...]:
    """Give the names of a task's classes."""
    return tuple(json.loads((folder.data / "classes.json").read_text(encoding="utf-8")))


def write_json(path: Path, content: Any) -> None:
    """Write JSON, whole or not at all."""
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


@contextmanager
def sole_builder(folder: ZooFolder, report: Callable[[str], None]) -> Iterator[None]:
    """Keep other builders of the same zoo waiting, and clear what a killed one left behind."""
    import fcntl

    folder.root.mkdir(parents=True, exist_ok=True)
    with (folder.root.parent / f".{folder.root.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("another process is building this zoo; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)  # the system frees it when the builder dies
        for leftover in folder.root.glob("**/.*.tmp"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
        yield


def _role_prefix(folder: TaskFolder, role: Role) -> Path:
    return folder.root / "train" if role == "train" else folder.data / role
