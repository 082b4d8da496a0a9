"""A merged model from its folder."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from distmerge.artefact.description import (
    CORRECTIONS,
    MODEL,
    OWN,
    ROUTER,
    VECTORS,
    Description,
    head_file,
    load_description,
)
from distmerge.artefact.model import LoadedModel
from distmerge.errors import CheckpointError, problem_list
from distmerge.methods.contract import MergedModel, Model
from distmerge.methods.restore import restored_model, with_parts
from distmerge.models import Head, Tower, load_head, load_metadata, load_state
from distmerge.tasks import Decoding
from distmerge.taskvectors import TaskVectors, task_vectors


def load(folder: str | Path, device: str = "cpu") -> LoadedModel:
    """Give the model in a folder that ``distmerge export`` or a sweep wrote.

    Args:
        folder: a local one.
        device: such as ``cpu`` or ``cuda:0``.

    Raises:
        CheckpointError: it is no such folder, or lists what is missing in it or does not fit.
        DataError: its tokenizer cannot be read.
    """
    place, target = Path(folder), torch.device(device)
    description = load_description(place)
    tower = Tower(description.tower)
    weights = task_vectors(load_state(place / MODEL), {}, tower.shapes)  # no task is left to add
    if description.routed:
        weights = _with_vectors(weights, description.tasks, place / VECTORS)
    base = MergedModel.pretrained(
        tower.to(target), weights.to(target), _heads(place, description, target)
    )
    rows = Decoding(description.tower.preprocess, Path(), place).rows()
    return LoadedModel(description, _whole(base, place, description), rows)


def _whole(base: MergedModel, place: Path, description: Description) -> Model:
    """Give the model with everything that was learned beside the tower."""
    if not description.routed:
        parts = (_by_task(base, place, description, name) for name in (CORRECTIONS, OWN))
        return with_parts(base, *parts)
    text = load_metadata(place / ROUTER)
    settings = {name: json.loads(value) for name, value in text.items()}
    return restored_model(base, load_state(place / ROUTER), settings, budget_mb=0)


def _heads(place: Path, description: Description, device: torch.device) -> dict[str, Head]:
    found, problems = {}, []
    for task, classes in description.classes.items():
        path, width = place / head_file(task), description.tower.output_dim
        try:
            head = load_head(path, num_classes=len(classes), feature_dim=width)
        except CheckpointError as error:
            problems.append(str(error))
        else:
            found[task] = head.to(device)
    if problems:
        raise CheckpointError(problem_list(f"{place}: heads", problems))
    return found


def _with_vectors(base: TaskVectors, tasks: tuple[str, ...], path: Path) -> TaskVectors:
    stacked = load_state(path)
    expected = {s.name: (len(tasks), *s.shape) for s in base.layout.segments}
    found = {name: tuple(tensor.shape) for name, tensor in stacked.items()}
    problems = [
        f"{name}: got {found.get(name, 'nothing')}, expected {expected.get(name, 'nothing')}"
        for name in sorted(found.keys() | expected.keys())
        if found.get(name) != expected.get(name)
    ]
    if problems:
        raise CheckpointError(problem_list(f"{path}: task vectors do not fit", problems))
    vectors = torch.cat([stacked[name].flatten(1) for name in expected], dim=1)
    return replace(base, tasks=tasks, vectors=vectors)


def _by_task(
    base: MergedModel, place: Path, description: Description, name: str
) -> dict[str, dict[str, Tensor]]:
    """Give a file's tensors ``TASK.NAME`` by task, then by name."""
    if name not in description.files:
        return {}
    tensors: Mapping[str, Tensor] = load_state(place / name)
    found: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        # A task's name may hold dots: the longest that fits is meant.
        task = max((t for t in description.tasks if key.startswith(f"{t}.")), key=len)
        part = tensor.to(base.weights.device)
        found.setdefault(task, {})[key.removeprefix(f"{task}.")] = part
    return found
