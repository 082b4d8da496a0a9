"""The folder in which the blocks of the pages run: models, images, and a finished study."""

import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from PIL import Image

from distmerge.spec import ModelFiles, TaskFiles
from distmerge.sweep import run_sweep
from tests.docs.blocks import ROOT
from tests.sweep.studies import ADAPT, console, content_of, study_of
from tests.world import arrays_of, build_world

TASKS = ("flowers", "cars", "svhn")
STUDY = "tiny"
FIELDS: dict[str, Any] = {
    "study": STUDY,
    "ray": False,
    "levels": ["L1", "L3"],
    "repeats": 3,
    "pipelines": [
        {"stages": ["weight_averaging"]},
        {"stages": ["task_arithmetic"], "trials": 5},
        {"stages": ["adamerging"], "settings": ADAPT},
        {  # fails
            "stages": ["adamerging_pp"],
            "settings": {"adamerging_pp.lr": 1e30, "adamerging_pp.projection": "none"},
        },
    ],
}


class Finished(NamedTuple):
    """A folder with a finished study; pages work in copies of it."""

    folder: Path
    run: str
    """The best run."""

    def copied(self, to: Path) -> Path:
        """Give a folder for one page."""
        shutil.copytree(self.folder, to, symlinks=True)
        return to

    def filled_in(self, code: str) -> str:
        """Give a block with the names that stand for a study and a run."""
        named = re.sub(r"\bSTUDY\b", STUDY, code)
        return re.sub(r"\bRUN\b", self.run, named)


def finished(folder: Path) -> Finished:
    """Fill a folder.

    ``models`` and ``photos`` hold three tasks, ``tiny.yaml`` is their study, ``results`` its rows
    and models, ``earlier`` those of an earlier sweep of it; ``photo.jpg`` is a photo.
    """
    files = _models(folder)
    run = run_sweep(study_of(files, folder / "results", **FIELDS), console()).best
    assert run
    earlier = {**FIELDS, "levels": [], "pipelines": FIELDS["pipelines"][:1]}
    run_sweep(study_of(files, folder / "earlier", **earlier), console())
    content = content_of(files, Path("results"), **FIELDS)
    content["pipelines"] = content["pipelines"][:3]  # a command that runs it again gives 0
    for name in ("study.yaml", f"{STUDY}.yaml"):
        (folder / name).write_text(yaml.safe_dump(content))
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "photo.jpg")
    for name in ("jobs", "cluster"):
        (folder / name).symlink_to(ROOT / name)
    return Finished(folder, run.run_id)


def _models(folder: Path) -> ModelFiles:
    files = build_world(folder / "models")
    (folder / "photos").mkdir()
    tasks = tuple(_renamed(task, name) for task, name in zip(files.tasks, TASKS, strict=True))
    return files.model_copy(update={"tasks": tasks})


def _renamed(task: TaskFiles, name: str) -> TaskFiles:
    models = task.checkpoint.parent
    return TaskFiles(
        name=name,
        checkpoint=task.checkpoint.rename(models / f"{name}.safetensors"),
        head=task.head_file.rename(models / f"{name}.head.safetensors"),
        data=arrays_of(task).rename(models.with_name("photos") / name),
    )
