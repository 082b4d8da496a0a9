"""A study on encoded images gives the rows of a study on arrays with the same pixels."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from PIL import Image

from distmerge.spec import ModelFiles, RoleData, TaskFiles
from distmerge.sweep import run_sweep
from distmerge.tasks import ROLES
from tests.sweep.studies import ADAPT, console, rows_of, study_of

PIPELINES = [{"stages": ["weight_averaging"]}, {"stages": ["adamerging"], "settings": ADAPT}]


def by_content(pixels: UInt8[np.ndarray, "image height width 3"]) -> list[int]:
    return sorted(range(len(pixels)), key=lambda i: hashlib.sha256(pixels[i].tobytes()).digest())


def sorted_arrays(task: TaskFiles, folder: Path) -> TaskFiles:
    """Write a task's arrays in the order of their content."""
    assert isinstance(task.data, Path)
    folder.mkdir()
    (folder / "classes.json").write_text((task.data / "classes.json").read_text())
    for role in ROLES:
        pixels = np.load(task.data / f"{role}.images.npy")
        order = by_content(pixels)
        np.save(folder / f"{role}.images.npy", pixels[order])
        if role != "adapt":
            labels = np.load(task.data / f"{role}.labels.npy")
            np.save(folder / f"{role}.labels.npy", labels[order])
    return task.model_copy(update={"data": folder})


def as_files(task: TaskFiles, folder: Path) -> TaskFiles:
    """Write the same images as PNG files: adapt flat, the others with a folder per class."""
    assert isinstance(task.data, Path)
    names = json.loads((task.data / "classes.json").read_text())
    for role in ROLES:
        labelled = role != "adapt"
        pixels = np.load(task.data / f"{role}.images.npy")
        labels = np.load(task.data / f"{role}.labels.npy") if labelled else np.zeros(len(pixels))
        for index, (image, label) in enumerate(zip(pixels, labels, strict=True)):
            place = folder / role / names[int(label)] if labelled else folder / role
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{index}.png")
    data = RoleData(**{role: str(folder / role) for role in ROLES})
    return task.model_copy(update={"data": data})


def rows_with(files: ModelFiles, tasks: tuple[TaskFiles, ...], storage: Path) -> pd.DataFrame:
    other = files.model_copy(update={"tasks": tasks})
    study = study_of(other, storage, ray=False, pipelines=PIPELINES)
    run_sweep(study, console())
    return rows_of(study)


def test_image_files_give_the_rows_of_arrays_with_their_pixels(
    world: ModelFiles, tmp_path: Path
) -> None:
    arrays = tuple(sorted_arrays(task, tmp_path / f"{task.name} arrays") for task in world.tasks)
    images = tuple(as_files(task, tmp_path / f"{task.name} files") for task in world.tasks)
    expected = rows_with(world, arrays, tmp_path / "a")
    found = rows_with(world, images, tmp_path / "b")
    assert len(found) > 20
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
