"""What identifies a study's inputs, by content."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from distmerge.coordinator.features import FeatureKey, feature_keys
from distmerge.coordinator.world import Material, Source, refuse_other_files
from distmerge.methods.contract import PRETRAINED
from distmerge.models import file_digest
from distmerge.spec import AnyTower, BankType, digest
from distmerge.tasks import Role


@dataclass(frozen=True)
class Digests:
    """What identifies the inputs of a study, by content."""

    tower: str
    base: str
    checkpoints: Mapping[str, str]
    heads: Mapping[str, str]
    images: str
    keys: tuple[FeatureKey, ...]
    bank: BankType = "float32"

    def crossed(self, role: Role) -> bool:
        """Whether every merged task's model looks at every merged task's images of a role."""
        return any(key.crossed for key in self.keys if key.role == role)

    def identity(self) -> list[object]:
        """Give what decides the numbers of a run, as JSON-like content; the tasks' order does."""
        checkpoints, heads = list(self.checkpoints.items()), list(self.heads.items())
        rounded = [] if self.bank == "float32" else [self.bank]
        return [self.tower, self.base, checkpoints, heads, self.images, *rounded]


def tower_digest(tower: AnyTower) -> str:
    """Give what identifies a tower's description."""
    return digest(json.loads(tower.model_dump_json()))


def source_digests(source: Source, material: Material, crossed: tuple[Role, ...] = ()) -> Digests:
    """Give the content digests of a study's inputs.

    Args:
        source: where the files are.
        material: what they hold.
        crossed: the roles on which every merged task's model looks at every such task's images.

    Raises:
        CheckpointError: a file is missing, or has changed since ``with_digests``.
        ConfigError: a zero-shot head is no file yet.
    """
    refuse_other_files(source, *source.digests)
    tower = tower_digest(material.config)
    base = file_digest(source.files.base)
    checkpoints = {task.name: file_digest(task.checkpoint) for task in source.files.tasks}
    heads = {task.name: file_digest(task.head_file) for task in source.files.tasks}
    images: dict[tuple[str, Role], str] = {
        (task.name, role): task.samples(role).digest
        for task in material.tasks
        for role in task.roles
    }
    images |= {(task.name, "report"): task.report.samples.digest for task in material.unseen}
    seen = [task.name for task in material.tasks]
    others = {(task, role): seen for task in seen for role in crossed}
    keys = feature_keys(tower, checkpoints | {PRETRAINED: base}, heads, images, others)
    named = {f"{task} {role}": value for (task, role), value in images.items()}
    labels = {
        f"{task.name} {role}": split.digest
        for task in (*material.tasks, *material.unseen)
        for role, split in (("select", task.select), ("report", task.report))
    }
    return Digests(tower, base, checkpoints, heads, digest([named, labels]), keys, source.bank)
