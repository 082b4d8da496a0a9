"""A merged model as a file: small while it is one of many, whole when it is the best."""

import json
from collections.abc import Mapping

import safetensors.torch

from distmerge.methods.contract import Model
from distmerge.models import Head, clamped
from distmerge.taskvectors import Selection, TaskVectors, merge, merge_groups, selected
from distmerge.tensorfiles import header_of, packed_header

_COEFFICIENTS = "coefficients"  # a routed model has none
_CORRECTION, _OWN = "correction.", "own."


def recipe_bytes(model: Model) -> bytes:
    """Give what a method decided about a model as safetensors: its state and its settings.

    They determine the model, together with the checkpoints: see ``merged_bytes``. Coefficients
    carry the names of their columns: the tower's ``tensors``, and the ``blocks`` that these are of.
    """
    tensors = {name: tensor.cpu().contiguous() for name, tensor in model.state().items()}
    settings = model.settings() | (_columns(model.vectors) if _COEFFICIENTS in tensors else {})
    metadata = {name: json.dumps(value) for name, value in settings.items()}
    return sorted_text(safetensors.torch.save(tensors, metadata))


def is_routed(recipe: bytes) -> bool:
    """Whether the model gives every image a merge of its own."""
    return _COEFFICIENTS not in safetensors.torch.load(recipe)


def head_bytes(head: Head, metadata: Mapping[str, str]) -> bytes:
    """Give a head as ``load_head`` reads it."""
    return sorted_text(safetensors.torch.save(head.tensors, {**metadata, **head.metadata}))


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
    whole = {name: clamped(name, tensor).contiguous() for name, tensor in state.items()}
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
    if not is_routed(recipe):
        return None
    tensors = safetensors.torch.load(recipe)
    return sorted_text(safetensors.torch.save(tensors, {**_settings(recipe), **metadata}))


def coefficient_bytes(
    recipe: bytes, vectors: TaskVectors, metadata: Mapping[str, str]
) -> bytes | None:
    """Give one coefficient per task for every tensor of the tower; None for a routed model."""
    coefficients = safetensors.torch.load(recipe).get(_COEFFICIENTS)
    if coefficients is None:
        return None
    columns = zip(vectors.layout.segments, coefficients.T, strict=True)
    named = {segment.name: column.contiguous() for segment, column in columns}
    content: bytes = safetensors.torch.save(named, dict(metadata))
    return content


def vector_bytes(recipe: bytes, vectors: TaskVectors, metadata: Mapping[str, str]) -> bytes | None:
    """Give the task vectors that a routed model adds, tensor by tensor; None for others.

    Every tensor has the task as its first axis.
    """
    if not is_routed(recipe):
        return None
    stacked = {
        s.name: vectors.vectors[:, s.start : s.stop].unflatten(1, s.shape).contiguous()
        for s in vectors.layout.segments
    }
    content: bytes = safetensors.torch.save(stacked, dict(metadata))
    return content


def _columns(vectors: TaskVectors) -> dict[str, object]:
    blocks = merge_groups(vectors.layout, "per_block")
    return {
        "tensors": [segment.name for segment in vectors.layout.segments],
        "blocks": [blocks.names[number] for number in blocks.index.tolist()],
    }


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
    settings: dict[str, str] = header_of(recipe)[0]["__metadata__"]
    return settings


def sorted_text(content: bytes) -> bytes:
    """Give the file with its text sorted by name; safetensors writes it in a random order."""
    header, end = header_of(content)
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    return packed_header(header) + content[end:]


def _selection(recipe: bytes) -> Selection | None:
    state = json.loads(_settings(recipe)["selection"])
    return None if state is None else Selection(**state)
