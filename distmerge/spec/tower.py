"""What an image tower looks like and what it expects as input; stored beside its checkpoints."""

from pathlib import Path

from pydantic import PositiveFloat, PositiveInt, ValidationError, model_validator

from distmerge.errors import CheckpointError, problem_list
from distmerge.spec.hyper import Frozen


class Preprocess(Frozen):
    """How 8-bit RGB images become the tower's input: bicubic resize, scale to [0, 1], normalise."""

    size: PositiveInt
    """Height and width in pixels."""
    mean: tuple[float, float, float]
    """Subtracted per channel."""
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    """Divided by per channel."""


class TowerConfig(Frozen):
    """Arguments of open_clip's ``VisionTransformer``."""

    image_size: PositiveInt
    """Height and width in pixels."""
    patch_size: PositiveInt
    """Height and width of a patch in pixels."""
    width: PositiveInt
    """Width of the residual stream."""
    layers: PositiveInt
    """Number of residual blocks."""
    heads: PositiveInt
    """Attention heads per block."""
    mlp_ratio: PositiveFloat = 4.0
    """Hidden width of the MLP over ``width``."""
    output_dim: PositiveInt
    """Width of the image feature."""
    projection: bool = True
    """Whether a final linear map leads to the image feature."""
    ls_init_value: float | None = None
    """LayerScale's initial value; null: no LayerScale."""
    no_ln_pre: bool = False
    """Whether the LayerNorm before the first block is left out."""
    quick_gelu: bool = False
    """Whether the MLP uses QuickGELU, as OpenAI's CLIP weights need."""
    norm_eps: PositiveFloat = 1e-5
    """Epsilon of every LayerNorm."""
    preprocess: Preprocess
    """The input that the weights were trained with."""

    @model_validator(mode="after")
    def _parts_fit(self) -> "TowerConfig":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of {self.heads} heads")
        if not self.projection and self.output_dim != self.width:
            raise ValueError(
                f"without projection output_dim is the width {self.width}, got {self.output_dim}"
            )
        if self.preprocess.size != self.image_size:
            raise ValueError(
                f"preprocess.size {self.preprocess.size} is not image_size {self.image_size}"
            )
        return self

    @property
    def backbone(self) -> str:
        """A short name: blocks, width and patch size."""
        return f"vit-{self.layers}x{self.width}/{self.patch_size}"


def load_tower_config(path: Path) -> TowerConfig:
    """Give the tower described in a JSON file.

    Raises:
        CheckpointError: the file is missing or does not describe a tower.
    """
    try:
        return TowerConfig.model_validate_json(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: cannot read the tower description ({error})") from error
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise CheckpointError(problem_list(f"{path}: not a tower description", problems)) from error
