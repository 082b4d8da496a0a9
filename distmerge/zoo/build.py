"""Building a zoo: what is there is kept, what is missing is made, task by task in parallel."""

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, as_completed
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distmerge.errors import ZooError, problem_list
from distmerge.models import Tower, address_seed, load_state, save_head, save_state
from distmerge.zoo.backbone import backbone_state
from distmerge.zoo.finetune import accuracy, fine_tuned, prototype_head, tower_features
from distmerge.zoo.folder import (
    TaskFolder,
    ZooFolder,
    read_classes,
    read_pictures,
    write_json,
    write_task,
)
from distmerge.zoo.material import task_material
from distmerge.zoo.recipe import TaskRecipe
from distmerge.zoo.sources import package_record
from distmerge.zoo.text_material import text_material, write_encoder
from distmerge.zoo.text_recipe import AnyRecipe, TextRecipe, TextTask

Packages = Mapping[str, Path]
Report = Callable[[str], None]


def build(
    recipe: AnyRecipe, folder: ZooFolder, packages: Packages, pool: Executor, report: Report
) -> None:
    """Build what is missing of a zoo.

    Args:
        recipe: what to build.
        folder: where.
        packages: where the file of each package lies.
        pool: runs one job per task; a single process or thread is enough.
        report: takes one line of progress at a time.

    Raises:
        ZooError: a class has too few images, or a tuned model is no better than the pretrained.
    """
    if not (folder.base.exists() and folder.tower.exists()):
        report(f"reading the pretrained tower: {recipe.backbone.description}")
        write_base(recipe, folder, packages)
    new = [task for task in recipe.tasks if not folder.task(task.name).root.exists()]
    making = {task.name: partial(prepare_task, recipe, task, folder, packages) for task in new}
    _run(pool, making, f"{recipe.samples} made", report)
    center = feature_center(recipe, folder)
    untuned = [task for task in recipe.tasks if not folder.task(task.name).accuracy.exists()]
    tuning = {task.name: partial(tune_task, recipe, task, folder, center) for task in untuned}
    _run(pool, tuning, "fine-tuned", report)
    finish(recipe, folder, packages)


def write_base(recipe: AnyRecipe, folder: ZooFolder, packages: Packages) -> None:
    """Write the pretrained weights and the tower's description."""
    if isinstance(recipe, TextRecipe):
        write_encoder(recipe, folder, packages[recipe.backbone.package])
        return
    backbone = recipe.backbone
    state = backbone_state(packages[backbone.package], backbone, recipe.tower)
    save_state(folder.base, state, recipe.provenance("none", "none"))
    write_json(folder.tower, recipe.tower.model_dump(mode="json"))


def prepare_task(
    recipe: AnyRecipe, task: TaskRecipe | TextTask, folder: ZooFolder, packages: Packages
) -> None:
    """Write a task's samples, and the pretrained features of its training samples.

    Raises:
        ZooError: a class has too few different samples.
    """
    if isinstance(recipe, TextRecipe):
        assert isinstance(task, TextTask)
        material = text_material(recipe, task, folder, packages)
    else:
        assert isinstance(task, TaskRecipe)
        material = task_material(recipe, task, packages)
    features = tower_features(Tower(recipe.tower), load_state(folder.base), material.roles["train"])
    write_task(folder.task(task.name), material.classes, material.roles, features.numpy())


def feature_center(recipe: AnyRecipe, folder: ZooFolder) -> Tensor:
    """Give the mean pretrained feature: of each task's training images, then over the tasks."""
    means = [np.load(folder.task(task.name).features).mean(axis=0) for task in recipe.tasks]
    return torch.from_numpy(np.stack(means)).mean(dim=0)


def tune_task(
    recipe: AnyRecipe, task: TaskRecipe | TextTask, folder: ZooFolder, center: Tensor
) -> None:
    """Write a task's head, its fine-tuned weights and what they gain on its select images."""
    place = folder.task(task.name)
    tower, base = Tower(recipe.tower), load_state(folder.base)
    train, select = read_pictures(place, "train"), read_pictures(place, "select")
    head = prototype_head(
        torch.from_numpy(np.load(place.features)),
        torch.from_numpy(train.labels),
        center=center,
        num_classes=len(read_classes(place)),
        logit_scale=recipe.logit_scale,
    )
    generator = torch.Generator().manual_seed(address_seed(recipe.seed, task.name, "fine-tuning"))
    tuned = fine_tuned(tower, base, head, train, recipe.fine_tuning, generator)
    save_head(place.head, head)
    save_state(place.checkpoint, tuned, recipe.provenance(task.name, task.source))
    accuracies = {
        "pretrained": accuracy(tower, base, head, select),
        "individual": accuracy(tower, tuned, head, select),
    }
    write_json(place.accuracy, accuracies)


def finish(recipe: AnyRecipe, folder: ZooFolder, packages: Packages) -> None:
    """Check that fine-tuning helped every task, then mark the zoo as finished.

    Raises:
        ZooError: names every task whose model is no better than the pretrained one.
    """
    accuracies = {task.name: _accuracies(folder.task(task.name)) for task in recipe.tasks}
    problems = [
        f"{name}: {values['individual']:.1%} fine-tuned, {values['pretrained']:.1%} pretrained"
        for name, values in accuracies.items()
        if values["individual"] <= values["pretrained"]
    ]
    if problems:
        title = f"zoo {recipe.name}: fine-tuning did not help on the select images"
        raise ZooError(problem_list(title, problems))
    content = {
        "zoo": recipe.name,
        "digest": recipe.digest,
        "select_accuracy": accuracies,
        "packages": package_record(packages),
        "recipe": recipe.model_dump(mode="json"),
    }
    write_json(folder.finished, content)


def _accuracies(folder: TaskFolder) -> dict[str, float]:
    content: dict[str, float] = json.loads(folder.accuracy.read_text())
    return content


def _run(pool: Executor, jobs: Mapping[str, Callable[[], None]], done: str, report: Report) -> None:
    started = time.monotonic()
    futures = {pool.submit(job): name for name, job in jobs.items()}
    try:
        for count, future in enumerate(as_completed(futures), 1):
            future.result()
            seconds = time.monotonic() - started
            report(f"{futures[future]}: {done} {count}/{len(jobs)}, {seconds:.0f} s")
    finally:
        for future in futures:
            future.cancel()
