"""A finished model from what it saved, with no stage run again."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from distmerge.methods.bd_merging.model import restored_model
from distmerge.methods.contract import MergedModel, Own
from distmerge.methods.surgery.stage import LowRankCorrection

__all__ = ["restored_model", "with_parts"]


def with_parts(
    model: MergedModel, corrections: Mapping[str, Mapping[str, Tensor]], own: Own
) -> MergedModel:
    """Give the model with what its tasks have for themselves: corrections and own tensors."""
    restored = {task: LowRankCorrection(**tensors) for task, tensors in corrections.items()}
    return replace(model, corrections=restored, own=own)
