"""Files as the task-arithmetic family wrote them with open_clip 2.0.2; their classes are gone."""

import sys
import types
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize

from distmerge.models import StateDict
from distmerge.spec import TowerConfig

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class QuickGELU(nn.Module):
    pass


class LayerNorm(nn.LayerNorm):
    pass


class ResidualAttentionBlock(nn.Module):
    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        width, hidden = config.width, int(config.width * config.mlp_ratio)
        self.ln_1 = LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, config.heads)
        self.ln_attn = nn.Identity()
        self.ln_2 = LayerNorm(width)
        parts: list[tuple[str, nn.Module]] = [
            ("c_fc", nn.Linear(width, hidden)),
            ("ln", nn.Identity()),
            ("gelu", QuickGELU() if config.quick_gelu else nn.GELU()),
            ("c_proj", nn.Linear(hidden, width)),
        ]
        self.mlp = nn.Sequential(OrderedDict(parts))


class Transformer(nn.Module):
    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.grad_checkpointing = False
        self.resblocks = nn.ModuleList(ResidualAttentionBlock(config) for _ in range(config.layers))


class VisualTransformer(nn.Module):
    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        width, grid = config.width, config.image_size // config.patch_size
        self.image_size = (config.image_size, config.image_size)
        self.conv1 = nn.Conv2d(3, width, config.patch_size, config.patch_size, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros(grid**2 + 1, width))
        self.ln_pre = LayerNorm(width)
        self.transformer = Transformer(config)
        self.ln_post = LayerNorm(width)
        self.proj = nn.Parameter(torch.zeros(width, config.output_dim))


class CLIP(nn.Module):
    """The text transformer was deleted before saving; these six tensors stayed."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.visual = VisualTransformer(config)
        self.token_embedding = nn.Embedding(11, 6)
        self.positional_embedding = nn.Parameter(torch.zeros(7, 6))
        self.ln_final = LayerNorm(6)
        self.text_projection = nn.Parameter(torch.zeros(6, config.output_dim))
        self.logit_scale = nn.Parameter(torch.tensor(2.6))
        self.register_buffer("attn_mask", torch.zeros(7, 7), persistent=False)


class ImageEncoder(nn.Module):
    def __init__(self, config: TowerConfig, state: StateDict) -> None:
        super().__init__()
        self.model = CLIP(config)
        self.model.visual.load_state_dict(state)
        self.val_preprocess = Compose(
            [
                Resize(config.image_size, InterpolationMode.BICUBIC),
                CenterCrop(config.image_size),
                Normalize(MEAN, STD),
            ]
        )
        self.cache_dir = None


class ClassificationHead(nn.Linear):
    def __init__(self, weight: Tensor, *, normalize: bool) -> None:
        super().__init__(weight.shape[1], weight.shape[0])
        self.normalize = normalize
        self.weight = nn.Parameter(weight.clone())
        self.bias = nn.Parameter(torch.zeros(len(weight)))


class ImageClassifier(nn.Module):
    def __init__(self, encoder: ImageEncoder, head: ClassificationHead) -> None:
        super().__init__()
        self.image_encoder = encoder
        self.classification_head = head
        self.val_preprocess = encoder.val_preprocess


_PLACES: dict[str, tuple[type[nn.Module], ...]] = {
    "open_clip.old_model": (
        *(QuickGELU, LayerNorm, ResidualAttentionBlock, Transformer, VisualTransformer, CLIP),
    ),
    "modeling": (ImageEncoder, ClassificationHead, ImageClassifier),
}


def save_old(path: Path, content: object, *, zipped: bool = True) -> Path:
    """Write a module as its authors did: whole, under the names of modules that are gone."""
    with _old_names():
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


@contextmanager
def _old_names() -> Iterator[None]:
    kinds = [kind for kinds in _PLACES.values() for kind in kinds]
    for place, own in _PLACES.items():
        module = types.ModuleType(place)
        module.__file__ = __file__  # the older format keeps each class's source
        sys.modules[place] = module
        for kind in own:
            kind.__module__ = place
            setattr(module, kind.__name__, kind)
    try:
        yield
    finally:
        for kind in kinds:
            kind.__module__ = __name__
        for place in _PLACES:
            del sys.modules[place]
