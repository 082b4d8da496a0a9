"""What a worker does, in this process or as an actor: facts of pinned models, and gradients."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from distmerge.coordinator.features import FeatureBlock, FeatureKey, block_ranges
from distmerge.coordinator.world import (
    Material,
    Source,
    checked_device,
    load_material,
    mapped_vectors,
    placed,
)
from distmerge.errors import DivergenceError
from distmerge.methods.contract import PRETRAINED, CoefficientGradient, Draw
from distmerge.methods.losses import SampleLoss
from distmerge.models import load_state
from distmerge.tasks import Task, batch_indices
from distmerge.taskvectors import TaskVectors, contract, merge


class WorkerInfo(NamedTuple):
    """Who answers."""

    pid: int
    models: tuple[str, ...]
    device: str


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
        base: Float32[np.ndarray, " parameter"] | None = None,
        vectors: Float32[np.ndarray, "task parameter"] | None = None,
    ) -> None:
        """Load and pin.

        Args:
            source: where the study's files are.
            models: names of tasks, or ``PRETRAINED``.
            device: such as ``cpu`` or ``cuda:0``.
            base: the flat base; with ``vectors`` it lets the worker compute gradients.
            vectors: the flat task vectors.

        Raises:
            CapacityError: the device is not there.
            CheckpointError: a checkpoint or a head does not fit.
            DataError: a task's data are wrong.
        """
        self.device = checked_device(device)
        self.material = placed(load_material(source), self.device)
        paths = {task.name: task.checkpoint for task in source.files.tasks}
        paths[PRETRAINED] = source.files.base
        self._weights: dict[str, Mapping[str, Tensor]] = {
            model: {k: v.float().to(self.device) for k, v in load_state(paths[model]).items()}
            for model in models
        }
        self._vectors = None
        if base is not None and vectors is not None:
            names = tuple(task.name for task in source.files.tasks)
            bank = mapped_vectors(names, self.material.tower, base, vectors)
            self._vectors = bank.to(self.device)

    def info(self) -> WorkerInfo:
        """Give who this is; an actor that answers has loaded its models."""
        return WorkerInfo(os.getpid(), tuple(self._weights), str(self.device))

    def gradient(
        self,
        coefficients: Float64[np.ndarray, "task segment"],
        draw: Draw,
        loss: SampleLoss,
        tasks: Sequence[str],
    ) -> tuple[float, Float64[np.ndarray, "task segment"]]:
        """Give ``coefficient_gradient`` over ``tasks``, as NumPy.

        Raises:
            DivergenceError: the loss is not finite.
        """
        assert self._vectors is not None, "started without task vectors"
        answer = coefficient_gradient(
            self.material, self._vectors, torch.tensor(coefficients), draw, loss, tasks
        )
        return answer.loss, answer.values.numpy()

    def blocks(self, key: FeatureKey, block: int) -> Iterator[FeatureBlock]:
        """Stream what a pinned model says about a role's images, ``block`` images at a time."""
        images = self.material.task(key.task).images(key.role)
        head = self.material.heads[key.task]
        for indices in block_ranges(len(images), block):
            pixels = images.batch(np.asarray(indices), self.material.config.preprocess)
            with torch.inference_mode():
                encoding = self.material.tower.encode(
                    self._weights[key.model], pixels.to(self.device)
                )
                logits = head(encoding.features)
                confidence = logits.softmax(dim=-1).amax(dim=-1)
            tensors = (encoding.layers, encoding.features, logits, confidence)
            yield FeatureBlock(*(tensor.cpu().numpy() for tensor in tensors))


def coefficient_gradient(
    material: Material,
    vectors: TaskVectors,
    coefficients: Float64[Tensor, "task segment"],
    draw: Draw,
    loss: SampleLoss,
    tasks: Sequence[str],
) -> CoefficientGradient:
    """Give the loss of the merged model summed over ``tasks``, and its gradient.

    One merge and one contraction whatever the number of tasks; each task's graph is freed before
    the next one's forward, so that memory does not grow with them. Source: algorithms.md 2.2.

    Raises:
        DivergenceError: the loss is not finite.
    """
    weights = merge(vectors, coefficients).requires_grad_()
    total = 0.0
    for name in tasks:
        batch = _drawn(material, material.task(name), draw).to(weights.device)
        features = material.tower.features(vectors.layout.unflatten(weights), batch)
        value = loss(material.heads[name](features)).mean() * draw.batches
        if not bool(torch.isfinite(value)):
            raise DivergenceError(f"step {draw.step}: the loss of task {name} is {value.item()}")
        value.backward()
        total += value.item()
    assert weights.grad is not None
    return CoefficientGradient(total, contract(vectors, weights.grad).cpu())


def _drawn(material: Material, task: Task, draw: Draw) -> Float[Tensor, "batch 3 size size"]:
    indices = batch_indices(
        draw.seed, task.name, draw.step, size=draw.size, available=len(task.adapt)
    )
    return task.adapt.batch(indices, material.config.preprocess)
