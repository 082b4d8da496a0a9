"""Takes a study's source and a cluster; gives pinned actors and the feature bank they fill."""

from distmerge.actors.cluster import cluster
from distmerge.actors.features import (
    FeatureBank,
    FeatureRefs,
    stored_features,
    streamed_features,
)
from distmerge.actors.metrics import (
    RUNS_IN_PROGRESS,
    RUNS_WAITING,
    count_ended,
    measure_study,
    step_timer,
)
from distmerge.actors.models import RayModels
from distmerge.actors.placement import (
    actor_resources,
    assign,
    num_actors,
    num_trials,
    trial_resources,
)
from distmerge.actors.pool import Member, Pool, answer
from distmerge.actors.restarts import restarted

__all__ = [
    "RUNS_IN_PROGRESS",
    "RUNS_WAITING",
    "FeatureBank",
    "FeatureRefs",
    "Member",
    "Pool",
    "RayModels",
    "actor_resources",
    "answer",
    "assign",
    "cluster",
    "count_ended",
    "measure_study",
    "num_actors",
    "num_trials",
    "restarted",
    "step_timer",
    "stored_features",
    "streamed_features",
    "trial_resources",
]
