"""The routed model: every image is answered by a merge of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from distmerge.methods.bd_merging.evidence import EvidentialHead, uncertainty
from distmerge.methods.bd_merging.router import Router
from distmerge.methods.contract import Answers, MergedModel
from distmerge.models import (
    Head,
    RoutedWeights,
    Tower,
    matrix_tokens,
    mean_tokens,
    routed_features,
)
from distmerge.spec import TowerConfig
from distmerge.tasks import ModelInput
from distmerge.taskvectors import (
    Grouping,
    LowRank,
    TaskVectors,
    average,
    low_rank,
    merge_groups,
)

RouterInput = Literal["averaged", "cls", "mean", "embed"]
Reader: TypeAlias = Callable[[ModelInput], Float[Tensor, "sample width"]]
_AFTER: Mapping[RouterInput, Literal["stem", "blocks"]] = {"embed": "stem", "mean": "blocks"}
_CPU_MB, _GPU_MB = 16, 512  # what fits into the cores' cache; what keeps a GPU busy


@dataclass(frozen=True)
class RoutedModel:
    """``theta(x) = theta0 + sum_k w_k(x) tau_k``; no answer but the logits' head knows the task.

    The routing is read off an image's tokens under one fixed tower, whatever the task. Equal
    weights of 1/K for every image ("uniform" routing) are weight averaging.
    """

    tower: Tower
    vectors: TaskVectors
    heads: Mapping[str, Head]
    low_rank: LowRank
    grouping: Grouping
    router: Router
    evidence: EvidentialHead
    router_input: RouterInput
    read: Reader
    """What reads that input off images."""
    budget_mb: int

    @property
    def bank_error(self) -> Mapping[str, float]:
        """What low rank leaves out of each task's vector, relative; empty where all are exact."""
        return self.low_rank.errors

    def answers(self, inputs: ModelInput) -> Answers:
        """Give routed features, the routing's mean over groups, and the evidential head's u.

        The pretrained tower runs once, for u; with ``router_input`` cls it serves the router too.
        """
        with torch.inference_mode():
            images = inputs.to(self.vectors.base.device)
            encoding = self.tower.encode(self.vectors.layout.unflatten(self.vectors.base), images)
            tokens = encoding.layers[:, -1] if self.router_input == "cls" else self.read(images)
            routing = self.router(tokens)
            u = uncertainty(self.evidence.alpha(encoding.features))
            return Answers(self._features(images, routing), routing.mean(dim=2), u)

    def _features(
        self,
        images: ModelInput,
        routing: Float[Tensor, "sample task group"],
    ) -> Float[Tensor, "sample feature"]:
        weights = routed_weights(self.vectors, self.grouping, self.low_rank)
        config, budget = vision_transformer(self.tower), budget_bytes(self.budget_mb, images.device)
        return routed_features(config, weights, routing, images, budget_bytes=budget)

    def logits(self, inputs: ModelInput, task: str) -> Float[Tensor, "sample class"]:
        """Give the logits over the classes of ``task``."""
        with torch.inference_mode():
            images = inputs.to(self.vectors.base.device)
            return self.heads[task](self._features(images, self.router(self.read(images))))

    def state(self) -> dict[str, Tensor]:
        """Give everything that was learned, a task's rows under its name."""
        tensors = {
            "router.center": self.router.center,
            "router.scale": self.router.scale,
            "router.hidden.weight": self.router.hidden,
            "router.hidden.bias": self.router.hidden_bias,
            "evidence.offset": torch.tensor(self.evidence.offset, dtype=torch.float64),
            "evidence.cap": torch.tensor(self.evidence.cap, dtype=torch.float64),
        }
        rows = self.evidence.weight.split(self.evidence.sizes)
        for number, task in enumerate(self.vectors.tasks):
            tensors[f"router.{task}.weight"] = self.router.out[number]
            tensors[f"router.{task}.bias"] = self.router.out_bias[number]
            tensors[f"evidence.{task}.weight"] = rows[number]
        return {name: tensor.detach() for name, tensor in tensors.items()}

    def settings(self) -> dict[str, object]:
        """Give what else decides the answers."""
        return {
            "router_input": self.router_input,
            "grouping": self.grouping,
            "aliases": self.evidence.aliases,
            "rank_error": self.low_rank.bound,
        }


def restored_model(
    base: MergedModel, state: Mapping[str, Tensor], settings: Mapping[str, Any], budget_mb: int
) -> RoutedModel:
    """Give the model that once gave ``state()`` and ``settings()``; tower and heads are ``base``'s.

    Raises:
        ConfigError: an alias names a class that is not there.
    """
    tasks, device = base.vectors.tasks, base.vectors.base.device
    named = {name: tensor.to(device) for name, tensor in state.items()}
    router = Router(
        named["router.center"],
        named["router.scale"],
        named["router.hidden.weight"],
        named["router.hidden.bias"],
        torch.stack([named[f"router.{task}.weight"] for task in tasks]),
        torch.stack([named[f"router.{task}.bias"] for task in tasks]),
    )
    heads = {task: base.heads[task] for task in tasks}
    evidence = replace(
        EvidentialHead.of(heads, settings["aliases"], named["evidence.cap"].item()),
        weight=torch.cat([named[f"evidence.{task}.weight"] for task in tasks]),
        offset=named["evidence.offset"].item(),
    )
    return RoutedModel(
        base.tower,
        base.vectors,
        base.heads,
        low_rank_of(base.tower, base.vectors, settings.get("rank_error", 0.0)),  # older: exact
        settings["grouping"],
        router,
        evidence,
        settings["router_input"],
        router_reader(base.tower, base.vectors, settings["router_input"]),
        budget_mb,
    )


def budget_bytes(budget_mb: int, device: torch.device) -> int:
    """Give the memory for matrices of single images; what 0 stands for depends on the device."""
    return (budget_mb or (_CPU_MB if device.type == "cpu" else _GPU_MB)) << 20


def low_rank_of(tower: Tower, vectors: TaskVectors, bound: float) -> LowRank:
    """Give the factors of the tower's matrices within a relative error; 0: of none."""
    return low_rank(vectors, bound, matrix_tokens(vision_transformer(tower)))


def routed_weights(
    vectors: TaskVectors, grouping: Grouping, found: LowRank | None = None
) -> RoutedWeights:
    """Give base and task vectors by name, and the group of every tensor; views, not copies.

    Factors that were ``found`` stand in for the vectors of their matrices.
    """
    groups = merge_groups(vectors.layout, grouping)
    segments = vectors.layout.segments
    stacked = {s.name: vectors.vectors[:, s.start : s.stop].unflatten(1, s.shape) for s in segments}
    numbers = {s.name: group for s, group in zip(segments, groups.index.tolist(), strict=True)}
    factors = {} if found is None else found.factors
    return RoutedWeights(vectors.layout.unflatten(vectors.base), stacked, numbers, factors)


def router_reader(tower: Tower, vectors: TaskVectors, kind: RouterInput) -> Reader:
    """Give what reads the router's input off images: one vector per image."""
    unflatten = vectors.layout.unflatten
    if kind in ("averaged", "cls"):
        weights = unflatten(average(vectors) if kind == "averaged" else vectors.base)
        return lambda images: tower.encode(weights, images).layers[:, -1]
    base, after = unflatten(vectors.base), _AFTER[kind]
    return lambda images: mean_tokens(vision_transformer(tower), base, images, after=after)


def vision_transformer(tower: Tower) -> TowerConfig:
    """Give the description of a tower that is one; studies with another are refused."""
    assert isinstance(tower.config, TowerConfig)
    return tower.config
