"""BD-Merging: an evidential head finds conflicts between images; a router learns to heed them."""

from typing import Annotated, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    model_validator,
)

from distmerge.methods.adaptation import Checked
from distmerge.methods.declaration import Method
from distmerge.spec import Count, LogUniform

CountOrNone = Annotated[int, Field(ge=0, lt=2**31)]


class BDMerging(Checked):
    """Settings of BD-Merging; what the paper leaves open is algorithms.md 3.9, row by row."""

    head_steps: Count = 300
    """Optimiser steps of the evidential head."""
    head_lr: PositiveFloat = 1e-3
    """Adam's learning rate for the evidential head, and for the router's warm-up."""
    warm_up: CountOrNone = 1000
    """Steps in which the router learns which task an adapt image is from, on cached tokens alone.
    It departs from the paper, whose entropy loss routes tasks to foreign models that are sure of
    themselves (docs/decisions/0003); 0: as published. With protocol: transductive the images whose
    routing is reported are the ones it learns from."""
    views: Annotated[int, Field(ge=0, le=100)] = 2
    """Altered copies (AugMix) of every adapt image that the warm-up reads as often as the image
    itself, so that the router stands corrupted images better."""
    identity: NonNegativeFloat = 1.0
    """Weight of that loss in the steps that follow; 0: as published."""
    steps: CountOrNone = 300
    """Optimiser steps of the router, or of shared coefficients, through the merged forward. 0: the
    router stays as warmed up."""
    lr: Annotated[PositiveFloat, LogUniform(3e-4, 1e-2)] = 1e-3
    """Adam's learning rate in those steps."""
    batch_size: Count = 16
    """Images per task and step."""
    router: Literal["mlp", "none"] = "mlp"
    """none: coefficients that all images share are trained with the same loss ("w/o router")."""
    router_input: Literal["averaged", "cls", "mean", "embed"] = "averaged"
    """What the router reads. averaged: the class token after the last block of the weight average
    of all models, which tells tasks apart better than the pretrained tower (docs/decisions/0003).
    Of the pretrained tower, as in the paper: cls, its class token there, a fact that is streamed
    anyway; mean, the mean of all tokens there; embed, the mean of the patch embeddings. All but
    cls need one more pass."""
    router_norm: Literal["standard", "none"] = "standard"
    """standard: every component of what the router reads has mean 0 and deviation 1 over the adapt
    images (one that they all share is only centred). It departs from the paper, which names no
    scaling."""
    hidden: Count = 256
    """Hidden units of the router."""
    grouping: Literal["global", "per_block", "per_tensor"] = "global"
    """One routing weight per image, task and: model (task level), block, or tensor (layer level).
    """
    init: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Every coefficient's first value with `router: none`."""
    eta: Annotated[NonNegativeFloat, LogUniform(0.01, 1.0)] = 0.1
    """Weight of the contrastive loss; 0: entropy alone ("w/o L_Dis")."""
    temperature: Annotated[float, Field(ge=1e-3)] = 0.1
    """Divides the cosine similarities in the contrastive loss."""
    entropy: Literal["plain", "relative"] = "plain"
    """relative: divided by ln(classes), so that tasks with many classes do not outweigh the rest.
    """
    entropy_over: Literal["task", "unified"] = "task"
    """unified: the entropy is over the classes of all tasks, whatever task an image is from."""
    kl: Literal["per_class", "full", "misleading"] = "per_class"
    """The head's pull to no evidence: divided by the number of classes, as it stands, or only on
    the evidence outside the largest class."""
    kl_weight: NonNegativeFloat = 0.1
    """Weight of that pull (the paper's lambda)."""
    inverse: Literal["clarity", "literal"] = "clarity"
    """What falls as uncertainty rises: -ln of the contradiction nu, or (literal) nu itself, which
    by its definition rises."""
    gamma: NonNegativeFloat = 0.1
    """Weight of the inverse-correlation loss."""
    evidence_cap: PositiveFloat = 10.0
    """Largest logarithm of a class's evidence."""
    median_uncertainty: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Uncertainty of the median adapt image before the head is trained."""
    aliases: str = ""
    """Classes of several tasks that are one in the unified label space, by number:
    "mnist.0=svhn.0, mnist.1=svhn.1". Without any, every (task, class) pair is a class."""
    train_head: Literal["first", "both"] = "first"
    """both: the evidential head goes on learning beside the router."""
    sharp: Literal["softplus", "sigmoid", "one", "literal"] = "softplus"
    """The first factor of the discrepancy, by the largest probability p: -ln p over ln(classes),
    1 - p, 1 (no factor), or (literal) ln((1 - p) / p), which turns the order round where p > 1/2.
    """
    sharp_self: bool = True
    """Whether an image counts as its own neighbour in that factor."""
    div: bool = True
    """Whether the second factor, the spread among neighbours, is used ("w/o Div": false)."""
    symmetric: bool = False
    """Whether a pair's discrepancy is the mean of both directions instead of the anchor's."""
    split: Literal["discrepancy", "radius"] = "discrepancy"
    """What parts images to pull from images to push: the discrepancy of neighbours, or
    ("w/o ADS") whether they are neighbours at all."""
    feature_space: Literal["pretrained", "merged"] = "pretrained"
    """Whose features say which images are neighbours."""
    pool: Literal["batch", "bank"] = "batch"
    """Where neighbours are looked for: the step's images of all tasks, or all adapt images. Pairs
    to pull and push are of the step either way."""
    radius: Annotated[float, Field(ge=0, le=2)] = 0.0
    """Cosine distance up to which images are neighbours; 0: `radius_quantile` decides."""
    radius_quantile: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Share of the pool's distances that are within the radius."""
    min_neighbours: Count = 4
    """The nearest images are neighbours, however far away."""
    eps_quantile: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the neighbours that are pulled; the rest is pushed."""
    eps_decay: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """How much of the last step's threshold between them is kept."""
    rank_error: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Largest relative error (Frobenius norm) at which a matrix's task vectors may be replaced by
    those of low rank; 0: never. They are where that takes fewer multiply-adds, so it pays for
    adapters and costs accuracy elsewhere. What it loses is the metric bank_error. A bfloat16 bank
    is rounded by about 0.002, below which nothing is of low rank."""
    budget_mb: CountOrNone = 0
    """Memory for the tiles of weight matrices that are made for single images. 0: 16 on a CPU, so
    that they stay in its cache, and 512 on a GPU."""
    recompute: bool = False
    """Whether blocks run a second time in the backward pass instead of keeping their activations.
    """

    @model_validator(mode="after")
    def _the_bank_stands_still(self) -> "BDMerging":
        if self.pool == "bank" and self.feature_space == "merged":
            raise ValueError(
                "pool bank needs feature_space pretrained: merged features move at every step"
            )
        return self

    @model_validator(mode="after")
    def _something_is_routed(self) -> "BDMerging":
        if self.rank_error and self.router == "none":
            raise ValueError(
                f"rank_error {self.rank_error:g} needs router mlp: without one, no image has "
                "matrices of its own to make cheaper; leave it at 0"
            )
        return self

    @property
    def correctable(self) -> bool:
        """Whether a correction may follow: whether the method gives one tower for all images."""
        return self.router == "none"

    @property
    def images_per_step(self) -> int:
        """How many adapt images of every task one optimiser step draws."""
        return self.batch_size


METHOD = Method(
    name="bd_merging",
    title="BD-Merging",
    paper="BD-Merging, arXiv:2603.03920",
    summary="theta(x) = theta0 + sum_k w_k(x) * tau_k, w trained on entropy and found conflicts",
    hyper=BDMerging,
    crossed=("report",),
    needs_vision_transformer=True,
)
