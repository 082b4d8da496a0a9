"""What a notebook writes: where files lie, stages and their settings, keys of a study."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict

from distmerge.spec import BankType, Precision

PathLike: TypeAlias = str | Path
Stage: TypeAlias = str | Mapping[str, Mapping[str, Any]]
"""The name of a method, or ``{NAME: {SETTING: VALUE}}``."""
Data: TypeAlias = Mapping[str, PathLike | Mapping[str, Any]]
"""By task, what a study file says under ``data``."""


class Options(TypedDict, total=False):
    """Where else files lie, and keys of a study, with the meaning and default that they have there.

    Heads lie by default as ``NAME.head.safetensors`` beside ``NAME.safetensors``, the tower's
    description as ``tower.json`` beside the base: ``distmerge import`` puts them there.
    """

    tower: PathLike
    heads: Mapping[str, PathLike | Mapping[str, Any]]
    study: str
    seed: int
    protocol: Literal["disjoint", "transductive"]
    images: Mapping[str, int]
    levels: Sequence[Literal["L1", "L2", "L3"]]
    corruption_seed: int
    unseen: Sequence[str]
    select: Literal["agreement", "entropy", "accuracy"]
    sanity: Literal["error", "warn", "off"]
    bank: BankType
    precision: Precision
    activations_mb: int


def pipeline_content(stages: Stage | Sequence[Stage]) -> dict[str, Any]:
    """Give stages as a study file has them."""
    several = [stages] if isinstance(stages, str | Mapping) else stages
    named = [{stage: {}} if isinstance(stage, str) else stage for stage in several]
    pairs = [(method, settings) for stage in named for method, settings in stage.items()]
    settings = {f"{method}.{name}": value for method, own in pairs for name, value in own.items()}
    return {"stages": [method for method, _ in pairs], "settings": settings}
