"""Takes a run's stages and the port to the individual models; gives the optimised merged model."""

from distmerge.coordinator.checkpoint import Checkpoint
from distmerge.coordinator.features import REVISION as FEATURES_REVISION
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
from distmerge.coordinator.stages import (
    IMAGES_DRAWN,
    Merging,
    model_answers,
    model_logits,
    run_stages,
)
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
    found_source,
    load_material,
    load_vectors,
    placed,
    source_digests,
    tower_digest,
    with_digests,
    with_head_files,
)

__all__ = [
    "FEATURES_REVISION",
    "IMAGES_DRAWN",
    "BlockFacts",
    "Checkpoint",
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
    "found_source",
    "head_bytes",
    "is_routed",
    "load_material",
    "load_vectors",
    "local_features",
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
    "with_digests",
    "with_head_files",
]
