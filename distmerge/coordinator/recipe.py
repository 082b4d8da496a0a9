"""A merged model as a file: small while it is one of many, whole when it is the best."""

import json
from collections.abc import Mapping

import safetensors.torch

from distmerge.methods.contract import Model
from distmerge.taskvectors import Selection, TaskVectors, merge, selected

_COEFFICIENTS = "coefficients"  # a routed model has none
_CORRECTION, _OWN = "correction.", "own."


def recipe_bytes(model: Model) -> bytes:
    """Give what a method decided about a model as safetensors: its state and its settings.

    They determine the model, together with the checkpoints: see ``merged_bytes``.
    """
    tensors = {name: tensor.cpu().contiguous() for name, tensor in model.state().items()}
    metadata = {name: json.dumps(value) for name, value in model.settings().items()}
    content: bytes = safetensors.torch.save(tensors, metadata)
    return content


def merged_bytes(recipe: bytes, vectors: TaskVectors, metadata: Mapping[str, str]) -> bytes:
    """Give the merged tower's state dict as safetensors, which open_clip loads.

    A routed model is not one tower; its tower is the base, to which its router adds.
    """
    coefficients = safetensors.torch.load(recipe).get(_COEFFICIENTS)
    weights = vectors.base
    if coefficients is not None:
        selection = _selection(recipe)
        thinned = vectors if selection is None else selected(vectors, selection)
        weights = merge(thinned, coefficients)
    state = vectors.layout.unflatten(weights)
    whole = {name: tensor.contiguous() for name, tensor in state.items()}
    content: bytes = safetensors.torch.save(whole, dict(metadata))
    return content


def correction_bytes(recipe: bytes, metadata: Mapping[str, str]) -> bytes | None:
    """Give the corrections alone, as tensors ``TASK.NAME``; None for a model without any."""
    return _part(recipe, _CORRECTION, metadata)


def own_bytes(recipe: bytes, metadata: Mapping[str, str]) -> bytes | None:
    """Give the tasks' own tensors alone, as ``TASK.NAME``; None for a model without any."""
    return _part(recipe, _OWN, metadata)


def router_bytes(recipe: bytes, metadata: Mapping[str, str]) -> bytes | None:
    """Give a routed model's router and evidential head with their settings; None for others."""
    tensors = safetensors.torch.load(recipe)
    if _COEFFICIENTS in tensors:
        return None
    content: bytes = safetensors.torch.save(tensors, {**_settings(recipe), **metadata})
    return content


def _part(recipe: bytes, prefix: str, metadata: Mapping[str, str]) -> bytes | None:
    tensors = {
        name.removeprefix(prefix): tensor
        for name, tensor in safetensors.torch.load(recipe).items()
        if name.startswith(prefix)
    }
    if not tensors:
        return None
    content: bytes = safetensors.torch.save(tensors, dict(metadata))
    return content


def _settings(recipe: bytes) -> dict[str, str]:
    header = int.from_bytes(recipe[:8], "little")  # safetensors: length of the JSON header, header
    settings: dict[str, str] = json.loads(recipe[8 : 8 + header])["__metadata__"]
    return settings


def _selection(recipe: bytes) -> Selection | None:
    state = json.loads(_settings(recipe)["selection"])
    return None if state is None else Selection(**state)
