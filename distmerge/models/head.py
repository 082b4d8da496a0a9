"""Frozen classification heads on features of images or texts."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import linear, normalize

from distmerge.errors import CheckpointError, problem_list
from distmerge.models.state import load_metadata, load_state, save_state

_NORMALISED = "normalised"  # in a head's metadata, where it is not the usual true


@dataclass(frozen=True)
class Head:
    """``logits = weight @ normalise(feature - center) + bias``.

    A zero-shot head of CLIP has center 0, bias 0, and rows that are normalised text embeddings
    times ``exp(logit_scale)``; a prototype head has the mean feature as its center.
    A classification head of a text encoder is linear: it does not normalise.
    Source: AdaMerging's ``heads.py``, algorithms.md 1.3.
    """

    weight: Float[Tensor, "class feature"]
    bias: Float[Tensor, " class"]
    center: Float[Tensor, " feature"]
    normalised: bool = True
    """Whether features are normalised before they are weighed."""

    def __call__(self, features: Float[Tensor, "sample feature"]) -> Float[Tensor, "sample class"]:
        """Give the logits of features that are not normalised."""
        centred = features - self.center
        centred = normalize(centred, dim=-1) if self.normalised else centred
        return linear(centred, self.weight, self.bias)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What is saved of it, by name."""
        return {"weight": self.weight, "bias": self.bias, "center": self.center}

    @property
    def metadata(self) -> dict[str, str]:
        """What is saved of it as text; nothing of a head that normalises."""
        return {} if self.normalised else {_NORMALISED: "false"}

    def to(self, device: object) -> "Head":
        """Give the head on another device."""
        moved = {name: t.to(device) for name, t in self.tensors.items()}  # type: ignore[call-overload]  # torch.device or name
        return Head(**moved, normalised=self.normalised)


def load_head(path: Path, *, num_classes: int, feature_dim: int) -> Head:
    """Give the head in a safetensors file with tensors ``weight``, ``bias`` and ``center``.

    Metadata ``normalised: false`` says that it is linear.

    Raises:
        CheckpointError: a tensor is missing, or its shape does not fit the classes or the tower, or
            the metadata are neither true nor false.
    """
    state = load_state(path)
    expected = head_shapes(num_classes, feature_dim)
    problems = [f"{name}: missing" for name in expected if name not in state]
    for name in (name for name in expected if name in state):
        if tuple(state[name].shape) != expected[name]:
            got = tuple(state[name].shape)
            problems.append(f"{name}: got shape {got}, expected {expected[name]}")
        elif not bool(torch.isfinite(state[name]).all()):
            problems.append(f"{name}: holds NaN or infinity")
    if problems:
        title = f"{path}: head for {num_classes} classes of {feature_dim}-d features"
        raise CheckpointError(problem_list(title, problems))
    said = load_metadata(path).get(_NORMALISED, "true")
    if said not in {"true", "false"}:
        raise CheckpointError(
            f"{path}: metadata {_NORMALISED}: got {said!r}, expected true or false"
        )
    tensors = {name: state[name].float() for name in expected}
    return Head(**tensors, normalised=said == "true")


def head_shapes(num_classes: int, feature_dim: int) -> dict[str, tuple[int, ...]]:
    """Give the shape of every tensor of a head."""
    return {
        "weight": (num_classes, feature_dim),
        "bias": (num_classes,),
        "center": (feature_dim,),
    }


def save_head(path: Path, head: Head) -> None:
    """Write a head that ``load_head`` reads."""
    save_state(path, head.tensors, head.metadata)
