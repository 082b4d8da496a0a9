"""Representation Surgery: a low-rank map per task from merged to individual features."""

from typing import Annotated, ClassVar, Literal

from pydantic import PositiveFloat

from distmerge.methods.adaptation import Checked
from distmerge.methods.declaration import Method
from distmerge.spec import Choice, Count, LogUniform


class Surgery(Checked):
    """Settings of Representation Surgery; the defaults are the paper's."""

    role: ClassVar[Literal["merge", "correction"]] = "correction"
    rank: Annotated[Count, Choice((4, 8, 16, 32))] = 16
    """Rank of every task's correction."""
    lr: Annotated[PositiveFloat, LogUniform(3e-4, 3e-3)] = 1e-3
    """Adam's learning rate; every task has its own Adam."""
    steps: Count = 1000
    """Optimiser steps per task; the paper's 500 iterations of two batches, one step each."""
    batch_size: Count = 16
    """Images per step."""

    @property
    def images_per_step(self) -> int:
        """How many adapt images of every task one optimiser step draws."""
        return self.batch_size


METHOD = Method(
    name="surgery",
    title="Representation Surgery",
    paper="Yang et al., Representation Surgery for Multi-Task Model Merging, arXiv:2402.02705",
    summary="f' = f - U_k relu(V_k f), trained to the individual models' features",
    hyper=Surgery,
)
