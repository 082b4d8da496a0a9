"""A tiny CLIP model with random weights, as open_clip would save it."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from open_clip import CLIP, SimpleTokenizer

from distmerge.models import initialised, save_state

CONFIG: dict[str, Any] = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 24, "width": 16, "heads": 2, "layers": 2},
}


class Clip(NamedTuple):
    """A model and its files."""

    text: Path
    model: str
    module: Any

    @property
    def tokenizer(self) -> Any:
        return SimpleTokenizer(context_length=CONFIG["text_cfg"]["context_length"])


def written_clip(folder: Path, **changes: Any) -> Clip:
    """Write the model and its configuration; changes are of the configuration."""
    config = {**CONFIG, **changes}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "clip.json").write_text(json.dumps(config))
    module = initialised(lambda: CLIP(**config), "clip").eval().requires_grad_(False)
    save_state(folder / "clip.safetensors", module.state_dict())
    return Clip(folder / "clip.safetensors", str(folder / "clip.json"), module)
