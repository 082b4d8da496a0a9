"""Takes a run's stages and the port to the individual models; gives the optimised merged model."""

from distmerge.coordinator.album import Album
from distmerge.coordinator.checkpoint import Checkpoint
from distmerge.coordinator.digests import Digests, source_digests, tower_digest
from distmerge.coordinator.feature_line import FeatureLine
from distmerge.coordinator.features import REVISION as FEATURES_REVISION
from distmerge.coordinator.features import (
    BlockFacts,
    FeatureBlock,
    FeatureKey,
    FeatureStore,
    feature_keys,
    keys_by_name,
)
from distmerge.coordinator.gradient import drawn_teachers, point_gradient
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
from distmerge.coordinator.trace import Trace
from distmerge.coordinator.worker import Asked, TaskWorker, WorkerInfo
from distmerge.coordinator.world import (
    Material,
    Source,
    checked_device,
    found_source,
    load_material,
    load_vectors,
    placed,
    with_digests,
    with_head_files,
)

__all__ = [
    "FEATURES_REVISION",
    "IMAGES_DRAWN",
    "Album",
    "Asked",
    "BlockFacts",
    "Checkpoint",
    "Digests",
    "FeatureBlock",
    "FeatureKey",
    "FeatureLine",
    "FeatureStore",
    "LocalModels",
    "Material",
    "Merging",
    "Progress",
    "Source",
    "TaskWorker",
    "Trace",
    "WorkerInfo",
    "blank_record",
    "checked_device",
    "coefficient_bytes",
    "correction_bytes",
    "drawn_teachers",
    "feature_keys",
    "found_source",
    "head_bytes",
    "is_routed",
    "keys_by_name",
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
