"""What a worker does, in this process or as an actor: facts of pinned models, and gradients."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Float64, Shaped
from torch import Tensor

from distmerge.coordinator.features import FeatureBlock, FeatureKey
from distmerge.coordinator.gradient import Workspace, point_gradient
from distmerge.coordinator.world import (
    Material,
    Source,
    checked_device,
    load_material,
    placed,
    refuse_other_files,
)
from distmerge.methods.contract import Draw, Gradient, Own, Point
from distmerge.methods.losses import BatchLoss, Teacher
from distmerge.models import load_state
from distmerge.taskvectors import (
    BankArrays,
    Selection,
    TaskVectors,
    mapped_vectors,
    selected,
)


class WorkerInfo(NamedTuple):
    """Who answers."""

    pid: int
    models: tuple[str, ...]
    device: str


class Asked(NamedTuple):
    """What a step asks of every worker; the task vectors are where it arrives."""

    selection: Selection | None
    coefficients: Float64[Tensor, "task segment"]
    draw: Draw
    loss: BatchLoss
    tasks: tuple[str, ...]
    teacher: Teacher
    """Of all tasks, one after the other, since two tensors are packed sooner than many."""

    @classmethod
    def of(
        cls, point: Point, draw: Draw, loss: BatchLoss, teachers: Mapping[str, Teacher]
    ) -> "Asked":
        """Give what is asked at a point, but for the tensors that tasks have for themselves."""
        labels, confidence = zip(*teachers.values(), strict=True)
        every = Teacher(torch.cat(labels), torch.cat(confidence))
        place = point.vectors.selection, point.coefficients
        return cls(*place, draw, loss, tuple(teachers), every)

    def teachers(self, tasks: Sequence[str]) -> dict[str, Teacher]:
        """Give what the individual models of some of the tasks say."""
        labels, confidence = (part.split(self.draw.size) for part in self.teacher)
        places = {task: self.tasks.index(task) for task in tasks}
        return {task: Teacher(labels[i], confidence[i]) for task, i in places.items()}


class TaskWorker:
    """Pins the models it is given to one device and answers questions about their images.

    Stateless between calls: an answer depends on its arguments and on the files alone, so a
    repeated call, or another worker, gives the same numbers.
    """

    def __init__(
        self,
        source: Source,
        models: Sequence[str],
        *,
        device: str = "cpu",
        at_once: int | None = None,
        base: Float32[np.ndarray, " parameter"] | None = None,
        vectors: Shaped[np.ndarray, "task parameter"] | None = None,
    ) -> None:
        """Load and pin.

        Args:
            source: where the study's files are.
            models: names of tasks, or ``PRETRAINED``.
            device: such as ``cpu`` or ``cuda:0``.
            at_once: how many models the device holds at a time; the others are loaded when they
                are asked for, in place of the one that was loaded first. None: all.
            base: the flat base; with ``vectors`` it lets the worker compute gradients.
            vectors: the flat task vectors; bfloat16 as its bits.

        Raises:
            CapacityError: the device is not there.
            CheckpointError: a checkpoint or a head does not fit.
            DataError: a task's data are wrong.
        """
        self.device = checked_device(device)
        self.material = placed(load_material(source), self.device)
        self._source, self._at_once = source, at_once
        self._weights: dict[str, dict[str, Tensor]] = {}
        for model in models[:at_once]:
            self._pinned(model)
        self._vectors: TaskVectors | None = None
        self._selected: TaskVectors | None = None
        self._workspace = Workspace()
        if base is not None and vectors is not None:
            names = tuple(task.name for task in source.seen)
            bank = mapped_vectors(names, self.material.tower.shapes, BankArrays(base, vectors))
            self._vectors = bank.to(self.device)

    def info(self) -> WorkerInfo:
        """Give who this is; an actor that answers has loaded its models."""
        return WorkerInfo(os.getpid(), tuple(self._weights), str(self.device))

    def gradient(self, asked: Asked, tasks: Sequence[str], own: Own) -> Gradient:
        """Give ``point_gradient`` over some of the tasks, which have ``own`` for themselves.

        Raises:
            DivergenceError: the loss is not finite.
        """
        bank, draw, teachers = self._bank(asked.selection), asked.draw, asked.teachers(tasks)
        point = Point(bank, asked.coefficients, moved(own, self.device))
        answer = point_gradient(self.material, point, draw, asked.loss, teachers, self._workspace)
        return answer._replace(own=moved(answer.own, torch.device("cpu")))

    def _bank(self, selection: Selection | None) -> TaskVectors:
        """Give the task vectors, thinned out as asked; what was asked last is kept."""
        assert self._vectors is not None, "started without task vectors"
        if selection is None:
            return self._vectors
        if self._selected is None or self._selected.selection != selection:
            self._selected = selected(self._vectors, selection)
        return self._selected

    def blocks(self, key: FeatureKey, block: int) -> Iterator[FeatureBlock]:
        """Stream ``fact_blocks`` of a model, which is pinned from now on."""
        yield from fact_blocks(self.material, self._pinned(key.model), key, block)

    def _pinned(self, model: str) -> dict[str, Tensor]:
        if model not in self._weights:
            if self._at_once is not None and len(self._weights) >= self._at_once:
                del self._weights[next(iter(self._weights))]
            self._weights[model] = pinned(self._source, model, self.device)
        return self._weights[model]


def fact_blocks(
    material: Material, weights: Mapping[str, Tensor], key: FeatureKey, block: int
) -> Iterator[FeatureBlock]:
    """Stream what a model says about a role's images, ``block`` images at a time.

    The logits are those of the images' task's head, whichever model gives the features.
    """
    images = material.task(key.task).samples(key.role)
    head = material.heads[key.task]
    for pixels in images.batches(block, material.config.preprocess):
        with torch.inference_mode():
            encoding = material.tower.encode(weights, pixels.to(head.weight.device))
            logits = head(encoding.features)
            confidence = logits.softmax(dim=-1).amax(dim=-1)
        layers = encoding.layers[:, :0] if key.crossed else encoding.layers
        tensors = (layers, encoding.features, logits, confidence)
        yield FeatureBlock(*(tensor.cpu().numpy() for tensor in tensors))


def pinned(source: Source, model: str, device: torch.device) -> dict[str, Tensor]:
    """Give a model's weights on ``device``.

    Raises:
        CheckpointError: its file is missing, is not safetensors, or is not the driver's.
    """
    state = load_state(source.checkpoints[model])
    refuse_other_files(source, source.checkpoints[model])  # afterwards: it may change meanwhile
    return {name: tensor.float().to(device) for name, tensor in state.items()}


def moved(own: Own, device: torch.device) -> Own:
    """Give tasks' own tensors on another device."""
    return {task: {k: v.to(device) for k, v in named.items()} for task, named in own.items()}
