"""The merged tower as transformers reads it."""

import json
from collections.abc import Mapping

import safetensors.torch

from distmerge.coordinator import is_routed, merged_bytes
from distmerge.errors import CheckpointError
from distmerge.models.foreign import text_model_files, to_hugging_face
from distmerge.spec import OpenClipTower, Preprocess, TextTower
from distmerge.sweep.export.folder import StoredRun

FOLDER = "hugging_face"


def hugging_face_files(run: StoredRun) -> Mapping[str, bytes]:
    """Give the files of a folder that ``CLIPVisionModelWithProjection`` or ``AutoModel`` loads.

    Raises:
        CheckpointError: the model is not one tower, or transformers has no such tower.
    """
    if is_routed(run.recipe):
        raise CheckpointError(
            f"run {run.run_id}: a routed model gives every image a tower of its own, which "
            "transformers cannot express; export it with --format open_clip"
        )
    if isinstance(run.tower, OpenClipTower):
        raise CheckpointError(
            f"run {run.run_id}: {run.tower.description} has other names and parts in transformers; "
            "export it with --format open_clip"
        )
    merged = safetensors.torch.load(merged_bytes(run.recipe, run.vectors, {}))
    if isinstance(run.tower, TextTower):
        state = merged
        files = {
            name: json.dumps(content, indent=1).encode()
            for name, content in text_model_files(run.tower).items()
        }
        files |= run.beside
    else:
        state, config = to_hugging_face(merged, run.tower)
        files = {
            "config.json": json.dumps(config, indent=1).encode(),
            "preprocessor_config.json": _preprocessor(run.tower.preprocess),
        }
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    files["model.safetensors"] = safetensors.torch.save(tensors, {"format": "pt"})
    return {f"{FOLDER}/{name}": content for name, content in files.items()}


def _preprocessor(preprocess: Preprocess) -> bytes:
    side = {"height": preprocess.size, "width": preprocess.size}
    squash = preprocess.resize == "squash"
    content = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": side if squash else {"shortest_edge": preprocess.size},
        "resample": {"bilinear": 2, "bicubic": 3}[preprocess.interpolation],
        "do_center_crop": not squash,
        "crop_size": side,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": preprocess.mean,
        "image_std": preprocess.std,
        "do_convert_rgb": True,
    }
    return json.dumps(content, indent=1).encode()
