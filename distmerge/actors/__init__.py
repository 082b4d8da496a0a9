"""Takes a study's source and a cluster; gives pinned actors and the feature bank they fill."""

from distmerge.actors.cluster import cluster, nodes
from distmerge.actors.features import (
    FeatureBank,
    FeatureRefs,
    stored_features,
    streamed_features,
)
from distmerge.actors.gpus import gpu_kind
from distmerge.actors.metrics import (
    RUNS_IN_PROGRESS,
    RUNS_WAITING,
    count_ended,
    measure_study,
    step_timer,
)
from distmerge.actors.models import RayModels, Roster
from distmerge.actors.placement import (
    Load,
    Place,
    actor_resources,
    for_cluster,
    num_trials,
    place_actors,
    trial_resources,
)
from distmerge.actors.pool import Member, Pool, answer, device_name
from distmerge.actors.restarts import restarted

__all__ = [
    "RUNS_IN_PROGRESS",
    "RUNS_WAITING",
    "FeatureBank",
    "FeatureRefs",
    "Load",
    "Member",
    "Place",
    "Pool",
    "RayModels",
    "Roster",
    "actor_resources",
    "answer",
    "cluster",
    "count_ended",
    "device_name",
    "for_cluster",
    "gpu_kind",
    "measure_study",
    "nodes",
    "num_trials",
    "place_actors",
    "restarted",
    "step_timer",
    "stored_features",
    "streamed_features",
    "trial_resources",
]
