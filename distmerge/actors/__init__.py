"""Takes a study's source and a cluster; gives pinned actors and the feature bank they fill."""

from distmerge.actors.cluster import cluster
from distmerge.actors.features import (
    FeatureBank,
    FeatureRefs,
    stored_features,
    streamed_features,
)
from distmerge.actors.models import RayModels
from distmerge.actors.placement import actor_resources, assign, num_actors, trial_resources
from distmerge.actors.pool import Member, Pool, answer

__all__ = [
    "FeatureBank",
    "FeatureRefs",
    "Member",
    "Pool",
    "RayModels",
    "actor_resources",
    "answer",
    "assign",
    "cluster",
    "num_actors",
    "stored_features",
    "streamed_features",
    "trial_resources",
]
