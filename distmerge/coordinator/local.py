"""The port to the individual models, in this process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count

import torch

from distmerge.coordinator.feature_line import FeatureLine
from distmerge.coordinator.features import FeatureKey, FeatureStore, keys_by_name
from distmerge.coordinator.gradient import Workspace, drawn_teachers, point_gradient
from distmerge.coordinator.worker import fact_blocks, pinned
from distmerge.coordinator.world import Material, Source
from distmerge.methods.contract import Draw, Facts, Gradient, Point
from distmerge.methods.losses import BatchLoss
from distmerge.tasks import Role


@dataclass(frozen=True)
class LocalModels:
    """Facts from a bank that is already full, gradients in this process, task after task."""

    material: Material
    bank: Mapping[FeatureKey, Facts]
    workspace: Workspace = field(default_factory=Workspace)

    def facts(self, model: str, task: str, role: Role) -> Facts:
        """Give what ``model`` says about a task's images."""
        return self.bank[self._keys[model, task, role]]

    @cached_property
    def _keys(self) -> dict[tuple[str, str, Role], FeatureKey]:
        return keys_by_name(self.bank)

    def gradient(self, point: Point, draw: Draw, loss: BatchLoss) -> Gradient:
        """Give the adapt loss of the merged model, summed over tasks in order, and its gradient."""
        tasks = draw.tasks or point.vectors.tasks
        teachers = drawn_teachers(lambda task: self.facts(task, task, "adapt"), tasks, draw)
        return point_gradient(self.material, point, draw, loss, teachers, self.workspace)


def local_features(
    source: Source,
    material: Material,
    keys: tuple[FeatureKey, ...],
    store: FeatureStore,
    *,
    block: int,
    report: Callable[[str], None],
) -> dict[FeatureKey, Facts]:
    """Give the facts of all ``keys``; what the store lacks is computed here and kept there.

    One model is in memory at a time, and of the facts those that are asked for, except layers.
    """
    missing = {key.digest: key for key in keys if key not in store}.values()
    number = count(1)
    for model in dict.fromkeys(key.model for key in missing):
        weights = pinned(source, model, torch.device("cpu"))
        for key in (key for key in missing if key.model == model):
            report(FeatureLine.of(next(number), len(missing), key))
            samples = len(material.task(key.task).samples(key.role))
            store.write(key, fact_blocks(material, weights, key, block), samples)
        del weights  # before the next model is read
    return {key: store.facts(key) for key in keys}
