"""What a user writes in a study file; one page, one declaration per setting."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from distmerge.errors import ConfigError
from distmerge.spec.data import DataFiles, Location
from distmerge.spec.heads import HeadFiles
from distmerge.spec.hyper import Count, Frozen
from distmerge.spec.pipeline import Halving, Objective, Pipeline, Sampler, Searched

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
RESERVED = ("mean", "pretrained", "individual", "one_expert", "nearest_centroid")
"""What rows call means and references."""


def _whole_or_a_share(gpus: float) -> float:
    if gpus > 1 and gpus != int(gpus):
        raise ValueError(f"got {gpus}; expected a share of one GPU, or a whole number of them")
    return gpus


Cores = Annotated[float, Field(ge=0.001, le=1e6)]
Gpus = Annotated[float, Field(ge=0, le=1e6), AfterValidator(_whole_or_a_share)]
BankType = Literal["float32", "bfloat16"]
Precision = Literal["float32", "bfloat16"]
ACTIVATIONS_MB = 1024
"""Room for the activations of one forward of an adaptation step, unless a study says another."""
Sanity = Annotated[  # YAML reads a plain off as false
    Literal["error", "warn", "off"], BeforeValidator(lambda v: "off" if v is False else v)
]


class TaskFiles(Frozen):
    """Where one task's model and data lie."""

    name: Name
    """The task's name; it addresses the task's batches, so renaming changes the draws."""
    checkpoint: Path
    """State dict of the fine-tuned tower, safetensors."""
    head: HeadFiles
    """The frozen head: safetensors (see distmerge.models.head), or class names and templates for a
    CLIP text encoder (see distmerge.spec.heads)."""
    data: DataFiles
    """Folder with classes.json and ROLE.images.npy / ROLE.labels.npy (see distmerge.tasks), an
    image folder, Parquet files or shards, one of these per role, or a benchmark task (see
    distmerge.spec.data)."""

    @property
    def head_file(self) -> Path:
        """The head's file.

        Raises:
            ConfigError: the zero-shot head is no file yet.
        """
        if isinstance(self.head, Path):
            return self.head
        raise ConfigError(
            f"task {self.name}: the {self.head} is no file yet; "
            "distmerge.coordinator.with_head_files makes it one"
        )


class ModelFiles(Frozen):
    """K models fine-tuned from one base, listed by file."""

    tower: Path
    """JSON description of the image tower (see distmerge.spec.tower)."""
    base: Path
    """State dict of the pretrained tower, safetensors."""
    tasks: tuple[TaskFiles, ...] = Field(min_length=2)
    """The tasks to merge."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> "ModelFiles":
        names = [task.name for task in self.tasks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"task names appear twice: {', '.join(twice)}")
        reserved = sorted(set(names) & set(RESERVED))
        if reserved:
            raise ValueError(f"task names have a meaning of their own: {', '.join(reserved)}")
        return self


class ZooModels(Frozen):
    """Models that distmerge builds itself, from packages alone."""

    zoo: Literal["tiny", "mini", "mini12", "text"]
    """Name of the built-in zoo."""


class ImageCounts(Frozen):
    """How many images of each role a task contributes; null means all of them."""

    adapt: Count | None = None
    """Unlabelled images that methods learn from."""
    select: Count | None = None
    """Images on which the search compares runs."""
    report: Count | None = None
    """Labelled images that the results table reports."""


class RayConfig(Frozen):
    """How the work is laid out on a Ray cluster."""

    actors: Count | None = None
    """Task actors; null: one per model, or as many as fit. Several models share an actor."""
    actor_cpus: Cores = 1.0
    """CPU cores of an actor."""
    actor_gpus: Gpus | None = None
    """GPUs of an actor; a fraction shares one; null: one where the cluster has GPUs, else none."""
    trial_cpus: Cores = 1.0
    """CPU cores of a trial."""
    trial_gpus: Gpus | None = None
    """GPUs of a trial; a fraction shares one; null: one where the cluster has GPUs, else none."""
    gpu_memory_gb: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Memory of a GPU in GiB; null: by its kind, where Ray names one that is known."""
    device: Literal["cuda", "cpu"] = "cuda"
    """What a GPU is to the process that is granted it; cpu: GPUs are counted and not used, which
    rehearses a layout on machines without them."""
    autoscaled: bool = False
    """Whether nodes are started when they are asked for: room is waited for, up to `timeout_s`,
    where a cluster that has too little would refuse."""
    max_concurrent: Count | None = None
    """Trials at a time; null: as many as fit."""
    gradient: Literal["trial", "actors"] = "trial"
    """Who computes coefficient gradients: the trial itself, or the task actors in parallel."""
    in_flight: Count = 2
    """Feature blocks that an actor may produce ahead of the driver."""
    max_restarts: int = Field(default=3, ge=0, le=1000)
    """How often a lost actor comes back; its calls are repeated as long as it does."""
    timeout_s: float = Field(default=600.0, gt=0, le=1e7)
    """Longest wait for one answer of a worker; then the run stops and names what is missing."""
    start_timeout_s: float = Field(default=60.0, gt=0, le=1e7)
    """Longest wait for room for a trial while none runs; then the sweep stops and names what is
    missing. Longer where an autoscaler replaces nodes."""

    @model_validator(mode="after")
    def _says_what_cannot_be_seen(self) -> "RayConfig":
        asked = {"actor_gpus": self.actor_gpus, "trial_gpus": self.trial_gpus}
        asked |= {"actors": self.actors} if self.gradient == "actors" else {}
        unsaid = [name for name, value in asked.items() if value is None]
        if self.autoscaled and unsaid:
            raise ValueError(
                f"autoscaled: true, and no {', '.join(unsaid)}; say how many, since the nodes are "
                "not there to be looked at"
            )
        return self


def _models_form(value: object) -> str:
    names_a_zoo = isinstance(value, ZooModels) or (isinstance(value, dict) and "zoo" in value)
    return "(zoo)" if names_a_zoo else "(files)"


def _ray_form(value: object) -> str:
    return "(off)" if isinstance(value, bool) else "(on)"


# One form is chosen before it is checked, so that errors speak of the form that was meant.
Models = Annotated[
    Annotated[ZooModels, Tag("(zoo)")] | Annotated[ModelFiles, Tag("(files)")],
    Discriminator(_models_form),
]
Cluster = Annotated[
    Annotated[RayConfig, Tag("(on)")] | Annotated[Literal[False], Tag("(off)")],
    Discriminator(_ray_form),
]


class Study(Frozen):
    """A study file."""

    study: Name
    """Name of the study; the first partition key of the results."""
    models: Models
    """What is merged: `{zoo: tiny}`, or a list of files."""
    pipelines: tuple[Searched, ...] = Field(min_length=1)
    """What is compared; `any_of` lets one search choose among several."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Addresses every draw, together with task names and step numbers."""
    repeats: Count = 1
    """Seeds of a pipeline's best configuration, counting up from `seed`: the search uses `seed`
    alone, then the best configuration by the select score runs with the others too. A pipeline
    that draws nothing at random is not repeated."""
    protocol: Literal["disjoint", "transductive"] = "disjoint"
    """disjoint: adapt, select and report images differ. transductive: adapt on the report images
    without their labels, as the papers do."""
    images: ImageCounts = ImageCounts()
    """How many images of each role."""
    unseen: tuple[Name, ...] = ()
    """Tasks that are reported on but not merged: neither their models nor their images are used."""
    levels: tuple[Literal["L1", "L2", "L3"], ...] = ()
    """Corruption levels of the report images to evaluate beside the clean ones."""
    corruption_seed: int = Field(default=0, ge=0, lt=2**63)
    """Addresses which corruption an image gets; the same for all seeds of a study."""
    select: Literal["agreement", "entropy", "accuracy"] = "agreement"
    """What the search improves on the select images: agreement with the individual models and
    prediction entropy need no label, accuracy reads the labels of the select images."""
    sanity: Sanity = "error"
    """What to do before any trial if a fine-tuned model is not better than the pretrained one on
    its own task's select images. It reads their labels; off reads none."""
    sampler: Sampler = "tpe"
    """Optuna's sampler; grid: every point of a finite space, in order; nsga2: NSGA-II, which
    spreads over what several objectives trade."""
    objectives: tuple[Objective, ...] = ("score",)
    """What the search improves, first the `select` score; `cost` is the adapt images that the
    optimiser draws: the fewer, the better. The leaderboard goes by the score."""
    asha: Halving | None = None
    """Ends runs early that fall behind in their label-free score; null: every run is finished."""
    warm_start: tuple[str, ...] = ()
    """Names of earlier studies in `storage`, or folders and URLs of other results: their runs of
    the same methods, scored by the same `select`, inform the search."""
    bank: BankType = "float32"
    """How task vectors are held in memory; bfloat16 halves it and rounds them to 8 bits."""
    precision: Precision = "float32"
    """What adaptation steps compute the tower's forward and backward passes in; bfloat16 is faster
    where cores have instructions for it. Coefficients, losses, sums and evaluation stay float32."""
    activations_mb: Count = ACTIVATIONS_MB
    """Room in MiB for the activations of one forward of an adaptation step: as many tasks share it
    as fit, at least one. It changes numbers by rounding alone."""
    storage: Location = "results"
    """Folder or URL of the results dataset."""
    features: Location | None = None
    """Folder or URL of the individual models' features, which other machines and later sweeps
    share; null: this machine's cache alone."""
    block: Count = 128
    """Images per streamed feature block."""
    checkpoint_s: Annotated[float, Field(ge=0)] | None = 30.0
    """Seconds between two saves of a run's state, in `storage`: a run that is interrupted loses
    at most so much of its optimisation. 0: after every step; null: nothing is saved."""
    trial_timeout_s: Annotated[float, Field(gt=0)] | None = None
    """Longest that a run may take; then it is a row with status=error, and the sweep goes on.
    Looked at between optimiser steps; on Ray a process that hangs elsewhere is ended."""
    logs: bool = True
    """Whether the sweep writes what happens as JSON lines to `_logs/STUDY`, in `storage`."""
    tensorboard: bool = False
    """Whether every run's curves are written as TensorBoard's event files to
    `_tensorboard/STUDY`, in `storage`; needs the extra `tensorboard`."""
    ray: Cluster = RayConfig()
    """Settings of the cluster; false: everything in this process."""

    @property
    def seeds(self) -> range:
        """The seed of the search, then those of the repeats."""
        return range(self.seed, self.seed + self.repeats)

    @model_validator(mode="after")
    def _seeds_fit_their_column(self) -> "Study":
        if self.seeds[-1] >= 2**63:
            raise ValueError(
                f"seed + repeats - 1: got {self.seeds[-1]}, expected less than 2**63; "
                "choose a smaller seed"
            )
        return self

    @model_validator(mode="after")
    def _adapt_images_are_used(self) -> "Study":
        if self.protocol == "transductive" and self.images.adapt is not None:
            raise ValueError(
                "images.adapt has no meaning with protocol: transductive, which adapts on the "
                "report images; leave it out"
            )
        return self

    @property
    def alternatives(self) -> tuple[Pipeline, ...]:
        """Every pipeline, those that share a search one by one."""
        return tuple(each for entry in self.pipelines for each in entry.alternatives)

    @model_validator(mode="after")
    def _the_search_fits(self) -> "Study":
        if self.objectives not in {("score",), ("score", "cost")}:
            raise ValueError(
                f"objectives: got {list(self.objectives)}, expected [score] or [score, cost]"
            )
        if self.asha and len(self.objectives) > 1:
            raise ValueError(
                "asha compares runs by one score; leave it out, or objectives: [score]"
            )
        if self.study in self.warm_start:
            raise ValueError(f"warm_start: {self.study!r} is this study; its runs count anyway")
        return self

    @model_validator(mode="after")
    def _pipelines_are_unique(self) -> "Study":
        names = [pipeline.name for pipeline in self.alternatives]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"pipelines appear twice: {', '.join(twice)}")
        return self
