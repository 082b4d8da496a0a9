"""What a tower looks like and what it expects as input; stored beside its checkpoints."""

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from distmerge.errors import CheckpointError, problem_list
from distmerge.spec.hyper import Frozen, field_problems


class Preprocess(Frozen):
    """How 8-bit RGB images become the tower's input: resize, scale to [0, 1], normalise."""

    size: PositiveInt
    """Height and width in pixels."""
    mean: tuple[float, float, float]
    """Subtracted per channel."""
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    """Divided by per channel."""
    # CLIP's own ways are left out where they are written, so that older descriptions stay the same.
    resize: Literal["shortest", "squash"] = Field("shortest", exclude_if=lambda x: x == "shortest")
    """shortest: the shorter side becomes ``size``, the centre is cut out. squash: both sides do."""
    interpolation: Literal["bicubic", "bilinear"] = Field(
        "bicubic", exclude_if=lambda x: x == "bicubic"
    )
    """Between pixels."""

    @property
    def description(self) -> str:
        """The settings in words."""
        mean, std = (" ".join(f"{x:g}" for x in part) for part in (self.mean, self.std))
        ways = "".join(
            f", {way}" for way in self.model_dump(include={"resize", "interpolation"}).values()
        )
        return f"{self.size} pixels{ways}, mean {mean}, deviation {std}"


def _file_name(name: str) -> str:
    if name in {"", ".", ".."} or set("/\\\0") & set(name):
        raise ValueError("expected the name of a file that lies beside the tower's description")
    return name


class Tokens(Frozen):
    """How texts become the tower's input: token numbers, cut and padded to one length."""

    length: PositiveInt
    """Tokens of a text at most, special ones among them."""
    padding: NonNegativeInt
    """The token number that fills up shorter texts; it is never attended to."""
    tokenizer: Annotated[str, AfterValidator(_file_name)] | None = None
    """File of Hugging Face's tokenizers, beside the tower's description; null: data are token
    numbers already."""

    @property
    def description(self) -> str:
        """The settings in words."""
        return f"{self.length} tokens, padding {self.padding}, {self.tokenizer or 'no tokenizer'}"


class LayerFeatures(NamedTuple):
    """The features of single layers that a tower gives beside its final one."""

    layers: int
    width: int


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

    @property
    def description(self) -> str:
        """The architecture in words."""
        activation = "QuickGELU" if self.quick_gelu else "GELU"
        return f"{self.backbone}, features of {self.output_dim}, {activation}"

    @property
    def layer_features(self) -> LayerFeatures:
        """The class token after every block."""
        return LayerFeatures(self.layers, self.width)


class OpenClipTower(Frozen):
    """An image tower of open_clip of any kind: a ResNet, one of timm's, another transformer.

    Running statistics of batch norms are merged as weights are; coefficients get no gradient from
    them, and a merged variance below zero counts as zero.
    """

    open_clip: dict[str, Any]
    """``vision_cfg`` of open_clip's model configuration."""
    name: str
    """A short name, such as RN50."""
    output_dim: PositiveInt
    """Width of the image feature; ``embed_dim`` of the model configuration."""
    quick_gelu: bool = False
    """Whether the model configuration says ``quick_gelu``."""
    preprocess: Preprocess
    """The input that the weights were trained with."""

    @property
    def vision_cfg(self) -> dict[str, Any]:
        """``open_clip`` of a tower that downloads nothing and gives the feature alone."""
        return {**self.open_clip, "timm_model_pretrained": False, "output_tokens": False}

    @property
    def backbone(self) -> str:
        """A short name."""
        return self.name

    @property
    def description(self) -> str:
        """The architecture in words."""
        return f"{self.name} of open_clip, features of {self.output_dim}"

    @property
    def layer_features(self) -> LayerFeatures:
        """None: layers of these towers differ in width."""
        return LayerFeatures(0, 0)


class TextTower(Frozen):
    """A text encoder of Hugging Face's transformers, such as BERT or RoBERTa."""

    transformers: dict[str, Any]
    """Content of its ``config.json``."""
    pooling: Literal["mean", "first", "pooler"]
    """What a text's feature is: the mean of its tokens, its first token, or the first token through
    the encoder's own pooler."""
    preprocess: Tokens
    """The input that the weights were trained with."""

    @model_validator(mode="after")
    def _is_described(self) -> "TextTower":
        needed = ("model_type", "hidden_size", "num_hidden_layers")
        missing = [name for name in needed if name not in self.transformers]
        if missing:
            raise ValueError(f"transformers: {', '.join(missing)} missing; expected a config.json")
        return self

    @property
    def output_dim(self) -> int:
        """Width of a text's feature."""
        return int(self.transformers["hidden_size"])

    @property
    def backbone(self) -> str:
        """A short name: kind, layers and width."""
        layers = self.transformers["num_hidden_layers"]
        return f"{self.transformers['model_type']}-{layers}x{self.output_dim}"

    @property
    def description(self) -> str:
        """The architecture in words."""
        return f"{self.backbone}, features of {self.output_dim}, pooling {self.pooling}"

    @property
    def layer_features(self) -> LayerFeatures:
        """The pooled tokens after every layer."""
        return LayerFeatures(int(self.transformers["num_hidden_layers"]), self.output_dim)


def _form(value: object) -> str:
    keys = value if isinstance(value, dict) else type(value).model_fields  # type: ignore[attr-defined]  # a config
    if "transformers" in keys:
        return "(text)"
    return "(open_clip)" if "open_clip" in keys else "(vit)"


# One form is chosen before it is checked, so that errors speak of the form that was meant.
AnyTower: TypeAlias = Annotated[
    Annotated[TowerConfig, Tag("(vit)")]
    | Annotated[OpenClipTower, Tag("(open_clip)")]
    | Annotated[TextTower, Tag("(text)")],
    Discriminator(_form),
]
_TOWER: TypeAdapter[TowerConfig | OpenClipTower | TextTower] = TypeAdapter(AnyTower)


def load_tower_config(path: Path) -> TowerConfig | OpenClipTower | TextTower:
    """Give the tower described in a JSON file.

    Raises:
        CheckpointError: the file is missing or does not describe a tower.
    """
    try:
        return _TOWER.validate_json(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{path}: cannot read the tower description ({getattr(error, 'strerror', error)})"
        ) from error
    except ValidationError as error:
        title = f"{path}: not a tower description"
        raise CheckpointError(problem_list(title, field_problems(error))) from error
