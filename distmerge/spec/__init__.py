"""Takes a study file and overrides; gives frozen, validated configs, without torch or Ray."""

from distmerge.spec.data import BenchmarkData, RoleData, Shares, WholeData, is_url
from distmerge.spec.hyper import (
    Choice,
    Count,
    Distribution,
    Frozen,
    Hyper,
    IntUniform,
    LogUniform,
    Uniform,
    Value,
    described,
)
from distmerge.spec.load import load_study
from distmerge.spec.plan import RunConfig, Stage, digest, run_config, search_space
from distmerge.spec.study import (
    ImageCounts,
    ModelFiles,
    Pipeline,
    RayConfig,
    Study,
    TaskFiles,
    ZooModels,
)
from distmerge.spec.tower import Preprocess, TowerConfig, load_tower_config

__all__ = [
    "BenchmarkData",
    "Choice",
    "Count",
    "Distribution",
    "Frozen",
    "Hyper",
    "ImageCounts",
    "IntUniform",
    "LogUniform",
    "ModelFiles",
    "Pipeline",
    "Preprocess",
    "RayConfig",
    "RoleData",
    "RunConfig",
    "Shares",
    "Stage",
    "Study",
    "TaskFiles",
    "TowerConfig",
    "Uniform",
    "Value",
    "WholeData",
    "ZooModels",
    "described",
    "digest",
    "is_url",
    "load_study",
    "load_tower_config",
    "run_config",
    "search_space",
]
