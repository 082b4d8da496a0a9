"""Takes a run's stages and the port to the individual models; gives the optimised merged model."""

from distmerge.coordinator.features import (
    BlockFacts,
    FeatureBlock,
    FeatureKey,
    FeatureStore,
    facts_of,
    feature_keys,
)
from distmerge.coordinator.local import LocalModels, local_features
from distmerge.coordinator.optimise import Progress, optimise
from distmerge.coordinator.recipe import (
    coefficient_bytes,
    correction_bytes,
    head_bytes,
    is_routed,
    merged_bytes,
    own_bytes,
    recipe_bytes,
    router_bytes,
    vector_bytes,
)
from distmerge.coordinator.record import blank_record
from distmerge.coordinator.stages import Merging, model_answers, model_logits, run_stages
from distmerge.coordinator.worker import (
    MergePoint,
    TaskWorker,
    WorkerInfo,
    drawn_teachers,
    point_gradient,
)
from distmerge.coordinator.world import (
    Digests,
    Material,
    Source,
    checked_device,
    load_material,
    load_vectors,
    mapped_vectors,
    placed,
    source_digests,
    tower_digest,
)

__all__ = [
    "BlockFacts",
    "Digests",
    "FeatureBlock",
    "FeatureKey",
    "FeatureStore",
    "LocalModels",
    "Material",
    "MergePoint",
    "Merging",
    "Progress",
    "Source",
    "TaskWorker",
    "WorkerInfo",
    "blank_record",
    "checked_device",
    "coefficient_bytes",
    "correction_bytes",
    "drawn_teachers",
    "facts_of",
    "feature_keys",
    "head_bytes",
    "is_routed",
    "load_material",
    "load_vectors",
    "local_features",
    "mapped_vectors",
    "merged_bytes",
    "model_answers",
    "model_logits",
    "optimise",
    "own_bytes",
    "placed",
    "point_gradient",
    "recipe_bytes",
    "router_bytes",
    "run_stages",
    "source_digests",
    "tower_digest",
    "vector_bytes",
]
