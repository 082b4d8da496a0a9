"""Model Tinting: coefficients and one layer per task, trained jointly at test time."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat

from distmerge.methods.adaptation import Checked
from distmerge.methods.declaration import Method
from distmerge.spec import Count, LogUniform


class Tinting(Checked):
    """Settings of Model Tinting; the defaults are those of the authors' code."""

    layer: Literal["head", "attn.in_proj", "attn.out_proj", "mlp.c_fc", "mlp.c_proj"] = "head"
    """What each task has for itself: its head (the reference), or a layer of the last block."""
    loss: Literal["crosspseudo", "crosspseudoconf", "entropy"] = "crosspseudoconf"
    """crosspseudo: cross-entropy to the individual model's labels. crosspseudoconf: only where both
    agree or the individual model is at least as confident. entropy: AdaMerging's loss."""
    schedule: Literal["joint", "sequential"] = "joint"
    """joint: one step on the sum over tasks. sequential: one step per task in a shuffled order, as
    the authors' code does; `steps` then counts rounds."""
    init: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Every coefficient's first value."""
    lr: Annotated[NonNegativeFloat, LogUniform(1e-3, 3e-2)] = 1e-2
    """Adam's learning rate of the tasks' own layers."""
    coefficient_lr: Annotated[NonNegativeFloat, LogUniform(1e-3, 3e-2)] = 1e-2
    """Adam's learning rate of the coefficients; 0 leaves the merge as it starts."""
    steps: Count = 500
    """Rounds over the tasks."""
    batch_size: Count = 32
    """Images per task and step."""
    grouping: Literal["global", "per_block", "per_tensor"] = "per_tensor"
    """One coefficient per task and: model, block, or tensor."""

    @property
    def images_per_step(self) -> int:
        """How many adapt images of every task one optimiser step draws."""
        return self.batch_size

    @property
    def tower_layer(self) -> str:
        """The layer of the tower's last block that every task has for itself; empty: none."""
        return "" if self.layer == "head" else self.layer


METHOD = Method(
    name="tinting",
    title="Model Tinting (SyMerge)",
    paper="Tint Your Models Task-wise, arXiv:2412.19098",
    summary="coefficients and one own layer per task, from the individual models' labels",
    hyper=Tinting,
)
