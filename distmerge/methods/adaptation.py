"""How methods adapt at test time: how steps are checked, and how coefficients are learned."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from distmerge.spec import Count, Hyper, LogUniform, Uniform


class Checked(Hyper):
    """Settings of every method that learns: how its steps are checked, without labels."""

    keep: Literal["last", "best"] = "last"
    """best: keep the checked step at which merged and individual models agree most on adapt images;
    a guard against the collapse that a loss without labels may permit."""
    patience: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Stop when that agreement has not risen for so many checks in a row; 0: never."""
    check_every: Count = 10
    """Optimiser steps between checks; used by `keep: best` and by `patience`."""
    check_images: Count = 64
    """Adapt images per task and check."""


class CoefficientAdaptation(Checked):
    """Settings that AdaMerging and its kin share; the defaults are the layer-wise preset."""

    grouping: Literal["global", "per_block", "per_tensor"] = "per_tensor"
    """One coefficient per task and: model (task-wise), block, or tensor (layer-wise)."""
    init: Annotated[float, Field(ge=0, le=1), Uniform(0.1, 0.4)] = 0.3
    """Every coefficient's first value."""
    lr: Annotated[PositiveFloat, LogUniform(3e-4, 1e-2)] = 1e-3
    """Adam's learning rate."""
    steps: Count = 500
    """Optimiser steps."""
    batch_size: Count = 16
    """Images per task and batch."""
    batches: Count = 2
    """Batches per task and step; the loss is the sum of their means."""
    projection: Literal["clamp", "project", "none"] = "clamp"
    """clamp: coefficients are clamped to [0, 1] where they are used and get no gradient outside
    (parity). project: they are put back into [0, 1] after every step, so none goes dead."""
    entropy: Literal["plain", "relative"] = "plain"
    """relative: divided by ln(classes), so that tasks with many classes do not outweigh the rest.
    """

    @property
    def images_per_step(self) -> int:
        """How many adapt images of every task one optimiser step draws."""
        return self.batch_size * self.batches
