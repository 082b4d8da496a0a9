"""The port to the individual models, on Ray."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ray
import torch

from distmerge.actors.features import FeatureBank
from distmerge.actors.pool import Member, answer
from distmerge.coordinator import FeatureKey, MergePoint, drawn_teachers, keys_by_name
from distmerge.methods.contract import Draw, Facts, Gradient, Point
from distmerge.methods.losses import BatchLoss
from distmerge.tasks import Role


@dataclass(frozen=True)
class RayModels:
    """Facts from the driver's bank, gradients from the task actors in parallel."""

    bank: FeatureBank
    members: tuple[Member, ...]
    tasks: tuple[str, ...]
    timeout_s: float

    def facts(self, model: str, task: str, role: Role) -> Facts:
        """Give what ``model`` says about a task's images."""
        return self.bank[self._keys[model, task, role]]

    @cached_property
    def _keys(self) -> dict[tuple[str, str, Role], FeatureKey]:
        return keys_by_name(self.bank)

    def gradient(self, point: Point, draw: Draw, loss: BatchLoss) -> Gradient:
        """Give the sums over actors, each of which handles the tasks that it pins.

        Partial sums are added in float64 and in a fixed order, so the answer does not depend on
        which actor is first; the number of actors changes it by rounding alone.

        Raises:
            DivergenceError: a loss is not finite.
            WorkerTimeoutError: an actor does not answer in time.
        """
        tasks = draw.tasks or self.tasks
        teachers = drawn_teachers(lambda task: self.facts(task, task, "adapt"), tasks, draw)
        plain = ray.put(MergePoint(point.vectors.selection, point.coefficients, {}))  # packed once
        calls: list[tuple[Any, list[str]]] = []
        for member in self.members:
            share = {task: teachers[task] for task in tasks if task in member.models}
            own = {task: named for task, named in point.own.items() if task in share}
            there = plain
            if own:
                there = MergePoint(point.vectors.selection, point.coefficients, own)
            if share:
                call = member.actor.gradient.remote(there, draw, loss, share)
                calls.append((call, list(share)))
        parts: list[Gradient] = [
            answer(call, self.timeout_s, f"gradient of {share}") for call, share in calls
        ]
        return Gradient(
            sum(part.loss for part in parts),
            torch.stack([part.coefficients for part in parts]).sum(dim=0),
            {task: named for part in parts for task, named in part.own.items()},
        )
