"""How a tower's file is used without distmerge: with open_clip or transformers alone."""

from collections.abc import Iterable

from distmerge.artefact.description import MODEL
from distmerge.spec import AnyTower, OpenClipTower, Preprocess, TextTower, TowerConfig


def plain_use(tower: AnyTower) -> str:
    """Give Python that computes a sample's features, as a block of Markdown."""
    if isinstance(tower, TextTower):
        return _plain_text_tower(tower)
    if isinstance(tower, OpenClipTower):
        return _plain_open_clip(tower)
    return _plain_transformer(tower)


def _plain_text_tower(tower: TextTower) -> str:
    feature = {
        "mean": "out.last_hidden_state.mean(dim=1)",
        "first": "out.last_hidden_state[:, 0]",
        "pooler": "out.pooler_output",
    }[tower.pooling]
    lines = [
        "import torch",
        "from safetensors.torch import load_file",
        "from tokenizers import Tokenizer",
        "from transformers import AutoConfig, AutoModel",
        "",
        "config = AutoConfig.for_model(",
        *(f"    {name}={value!r}," for name, value in tower.transformers.items()),
        ")",
        "encoder = AutoModel.from_config(config)",
        *([] if tower.pooling == "pooler" else ["encoder.pooler = None"]),
        f'encoder.load_state_dict(load_file("{MODEL}"))',
        "encoder.eval()",
        f'tokenizer = Tokenizer.from_file("{tower.preprocess.tokenizer}")',
        f"tokenizer.enable_truncation({tower.preprocess.length})",
        "tokenizer.no_padding()",
        "with torch.no_grad():",
        '    out = encoder(input_ids=torch.tensor([tokenizer.encode("a text").ids]))',
        f"    features = {feature}",
    ]
    return code_block(lines)


def _plain_open_clip(tower: OpenClipTower) -> str:
    return _visual(
        tower.preprocess,
        ["import torch"],
        ["from open_clip.model import _build_vision_tower"],
        [
            "visual = _build_vision_tower(",
            f"    {tower.output_dim},",
            "    {",
            *(f"        {name!r}: {value!r}," for name, value in tower.vision_cfg.items()),
            "    },",
            f"    quick_gelu={tower.quick_gelu!r},",
            ")",
        ],
    )


def _plain_transformer(tower: TowerConfig) -> str:
    activation = "QuickGELU" if tower.quick_gelu else "torch.nn.GELU"
    imported = "LayerNorm, QuickGELU" if tower.quick_gelu else "LayerNorm"
    settings = {
        name: getattr(tower, name)
        for name in (
            "image_size",
            "patch_size",
            "width",
            "layers",
            "heads",
            "mlp_ratio",
            "ls_init_value",
            "no_ln_pre",
            "output_dim",
        )
    }
    return _visual(
        tower.preprocess,
        ["from functools import partial", "", "import torch"],
        [f"from open_clip.transformer import {imported}, VisionTransformer"],
        [
            "visual = VisionTransformer(",
            *(f"    {name}={value!r}," for name, value in settings.items()),
            '    pool_type="tok",',
            f"    act_layer={activation},",
            f"    norm_layer=partial(LayerNorm, eps={tower.norm_eps!r}),",
            ")",
            *([] if tower.projection else ['visual.register_parameter("proj", None)']),
        ],
    )


def _visual(
    preprocess: Preprocess, first: list[str], imports: list[str], building: list[str]
) -> str:
    """Give the code of an image tower's features, around what imports and builds the tower."""
    return code_block(
        [
            *first,
            "from open_clip import image_transform",
            *imports,
            "from PIL import Image",
            "from safetensors.torch import load_file",
            "",
            *building,
            f'visual.load_state_dict(load_file("{MODEL}"))',
            "visual.eval()",
            *_transform(preprocess),
            "with torch.no_grad():",
            '    features = visual(transform(Image.open("photo.png"))[None])',
        ]
    )


def _transform(preprocess: Preprocess) -> list[str]:
    size, mean, std = preprocess.size, preprocess.mean, preprocess.std
    resize, interpolation = preprocess.resize, preprocess.interpolation
    if (resize, interpolation) == ("shortest", "bicubic"):  # what it does unless told otherwise
        return [f"transform = image_transform({size}, is_train=False, mean={mean}, std={std})"]
    return [
        "transform = image_transform(",
        f"    {size},",
        "    is_train=False,",
        f"    mean={mean},",
        f"    std={std},",
        f"    resize_mode={resize!r},",
        f"    interpolation={interpolation!r},",
        ")",
    ]


def code_block(lines: Iterable[str]) -> str:
    """Give lines of Python as a block of Markdown."""
    return "\n".join(["```python", *lines, "```"])
