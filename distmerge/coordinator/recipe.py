"""A merged model as a file: small while it is one of many, whole when it is the best."""

import json
from collections.abc import Mapping

import safetensors.torch

from distmerge.methods.contract import MergedModel
from distmerge.taskvectors import Selection, TaskVectors, merge, selected

_CORRECTION = "correction."
_OWN = "own."


def recipe_bytes(model: MergedModel) -> bytes:
    """Give what a method decided about a model as safetensors, a few kilobytes.

    Coefficients, selection and corrections determine the model, together with the checkpoints: see
    ``merged_bytes``.
    """
    tensors = {"coefficients": model.coefficients.cpu()}
    selection = model.vectors.selection
    metadata = {"selection": json.dumps(selection and selection.state())}
    for task, named in model.own.items():
        tensors |= {f"{_OWN}{task}.{name}": t.detach().cpu() for name, t in named.items()}
    for task, correction in model.corrections.items():
        for name, tensor in correction.state().items():
            tensors[f"{_CORRECTION}{task}.{name}"] = tensor.cpu().contiguous()
    content: bytes = safetensors.torch.save(tensors, metadata)
    return content


def merged_bytes(recipe: bytes, vectors: TaskVectors, metadata: Mapping[str, str]) -> bytes:
    """Give the merged tower's state dict as safetensors, which open_clip loads."""
    coefficients = safetensors.torch.load(recipe)["coefficients"]
    selection = _selection(recipe)
    if selection is not None:
        vectors = selected(vectors, selection)
    state = vectors.layout.unflatten(merge(vectors, coefficients))
    whole = {name: tensor.contiguous() for name, tensor in state.items()}
    content: bytes = safetensors.torch.save(whole, dict(metadata))
    return content


def correction_bytes(recipe: bytes, metadata: Mapping[str, str]) -> bytes | None:
    """Give the corrections alone, as tensors ``TASK.NAME``; None for a model without any."""
    tensors = {
        name.removeprefix(_CORRECTION): tensor
        for name, tensor in safetensors.torch.load(recipe).items()
        if name.startswith(_CORRECTION)
    }
    if not tensors:
        return None
    content: bytes = safetensors.torch.save(tensors, dict(metadata))
    return content


def _selection(recipe: bytes) -> Selection | None:
    header = int.from_bytes(recipe[:8], "little")  # safetensors: length of the JSON header, header
    metadata = json.loads(recipe[8 : 8 + header])["__metadata__"]
    state = json.loads(metadata["selection"])
    return None if state is None else Selection(**state)
