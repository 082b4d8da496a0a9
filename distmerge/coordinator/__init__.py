"""Takes a run's stages and the port to the individual models; gives the optimised merged model."""

from distmerge.coordinator.features import (
    BlockFacts,
    FeatureBlock,
    FeatureKey,
    FeatureStore,
)
from distmerge.coordinator.local import LocalModels, local_features
from distmerge.coordinator.optimise import Progress, optimise
from distmerge.coordinator.record import blank_record
from distmerge.coordinator.stages import Merging, model_logits, run_stages
from distmerge.coordinator.worker import TaskWorker, coefficient_gradient
from distmerge.coordinator.world import (
    Digests,
    Material,
    Source,
    load_material,
    load_vectors,
    source_digests,
)

__all__ = [
    "BlockFacts",
    "Digests",
    "FeatureBlock",
    "FeatureKey",
    "FeatureStore",
    "LocalModels",
    "Material",
    "Merging",
    "Progress",
    "Source",
    "TaskWorker",
    "blank_record",
    "coefficient_gradient",
    "load_material",
    "load_vectors",
    "local_features",
    "model_logits",
    "optimise",
    "run_stages",
    "source_digests",
]
