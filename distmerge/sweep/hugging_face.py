"""The merged tower as transformers reads it."""

import json
from collections.abc import Mapping

import safetensors.torch

from distmerge.coordinator import is_routed, merged_bytes
from distmerge.errors import CheckpointError
from distmerge.models.foreign import to_hugging_face
from distmerge.spec import Preprocess
from distmerge.sweep.folder import StoredRun

FOLDER = "hugging_face"


def hugging_face_files(run: StoredRun) -> Mapping[str, bytes]:
    """Give the files of a folder that ``CLIPVisionModelWithProjection`` loads.

    Raises:
        CheckpointError: the model is not one tower, or transformers has no such tower.
    """
    if is_routed(run.recipe):
        raise CheckpointError(
            f"run {run.run_id}: a routed model gives every image a tower of its own, which "
            "transformers cannot express; export it with --format open_clip"
        )
    merged = safetensors.torch.load(merged_bytes(run.recipe, run.vectors, {}))
    state, config = to_hugging_face(merged, run.tower)
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    return {
        f"{FOLDER}/config.json": json.dumps(config, indent=1).encode(),
        f"{FOLDER}/preprocessor_config.json": _preprocessor(run.tower.preprocess),
        f"{FOLDER}/model.safetensors": safetensors.torch.save(tensors, {"format": "pt"}),
    }


def _preprocessor(preprocess: Preprocess) -> bytes:
    side = {"height": preprocess.size, "width": preprocess.size}
    content = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": preprocess.size},
        "resample": 3,  # bicubic
        "do_center_crop": True,
        "crop_size": side,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": preprocess.mean,
        "image_std": preprocess.std,
        "do_convert_rgb": True,
    }
    return json.dumps(content, indent=1).encode()
