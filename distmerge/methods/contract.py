"""What methods are given and what they give back."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from distmerge.methods.adaptation import Checked
from distmerge.methods.losses import BatchLoss
from distmerge.models import Head, Tower
from distmerge.spec import Precision
from distmerge.tasks import ModelInput, Role, Samples
from distmerge.taskvectors import TaskVectors, merge

PRETRAINED = "pretrained"  # the name of the base wherever a model is named by its task


@runtime_checkable
class Correction(Protocol):
    """A task's map from merged features to corrected ones."""

    def __call__(
        self, features: Float[Tensor, "sample feature"]
    ) -> Float[Tensor, "sample feature"]:
        """Give the corrected features."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Give the tensors to save."""
        ...


@runtime_checkable
class Model(Protocol):
    """What all stages lead to: one model for all tasks, whatever it is made of."""

    @property
    def vectors(self) -> TaskVectors:
        """What the model is merged from."""
        ...

    def logits(self, inputs: ModelInput, task: str) -> Float[Tensor, "sample class"]:
        """Give the logits over the classes of ``task``."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Give the tensors that were decided: with the checkpoints they determine the model."""
        ...

    def settings(self) -> dict[str, object]:
        """Give, as JSON-like content, what else decides the answers."""
        ...


class Answers(NamedTuple):
    """What a routed model says about images without knowing their task."""

    features: Float[Tensor, "sample feature"]
    """Final features under each image's own weights, not normalised."""
    routing: Float[Tensor, "sample task"]
    """How much of each task's vector an image gets; tasks as in ``vectors.tasks``."""
    uncertainty: Float[Tensor, " sample"]
    """How little evidence there is for any class, from 0 to 1."""


@runtime_checkable
class Routed(Model, Protocol):
    """A model that answers every image by weights of its own, and never knows the image's task."""

    @property
    def heads(self) -> Mapping[str, Head]:
        """The tasks' heads; the logits are theirs, of the answered features."""
        ...

    @property
    def bank_error(self) -> Mapping[str, float]:
        """How much of each task's vector is left out, relative to it; empty where nothing is."""
        ...

    def answers(self, inputs: ModelInput) -> Answers:
        """Give all that is said about images, in one pass."""
        ...


Own = Mapping[str, Mapping[str, Tensor]]  # task -> tensors of its own, by name
HEAD = "head."  # the names of a head's own tensors begin with this; others are the tower's


@dataclass(frozen=True)
class MergedModel:
    """One model for all tasks.

    Its parts are the merged tower weights, the tasks' heads, tensors that a task has for itself in
    place of the tower's or the head's, and feature corrections.
    """

    tower: Tower
    vectors: TaskVectors
    heads: Mapping[str, Head]
    coefficients: Float64[Tensor, "task segment"]
    weights: Float[Tensor, " parameter"]
    own: Own = field(default_factory=dict)
    corrections: Mapping[str, Correction] = field(default_factory=dict)

    @classmethod
    def pretrained(
        cls, tower: Tower, vectors: TaskVectors, heads: Mapping[str, Head]
    ) -> "MergedModel":
        """Give the base itself: every coefficient is zero."""
        shape = (len(vectors.tasks), len(vectors.layout.segments))
        return cls(tower, vectors, heads, torch.zeros(shape, dtype=torch.float64), vectors.base)

    def merged(self, coefficients: Float64[Tensor, "task segment"]) -> "MergedModel":
        """Give the model whose tower is merged with ``coefficients``."""
        weights = merge(self.vectors, coefficients)
        return replace(self, coefficients=coefficients, weights=weights)

    def head(self, task: str) -> Head:
        """Give the head of ``task``, with the task's own tensors in it."""
        return own_head(self.heads[task], self.own.get(task, {}))

    def tower_features(self, inputs: ModelInput, task: str) -> Float[Tensor, "sample feature"]:
        """Give the tower's features for ``task``, before any correction."""
        named = own_weights(self.vectors.layout.unflatten(self.weights), self.own.get(task, {}))
        with torch.inference_mode():
            return self.tower.features(named, inputs.to(self.weights.device))

    def corrected(
        self, features: Float[Tensor, "sample feature"], task: str
    ) -> Float[Tensor, "sample feature"]:
        """Give the features that the head of ``task`` reads, from the tower's."""
        return self.corrections[task](features) if task in self.corrections else features

    def features(self, inputs: ModelInput, task: str) -> Float[Tensor, "sample feature"]:
        """Give the features that the head of ``task`` reads."""
        with torch.inference_mode():
            return self.corrected(self.tower_features(inputs, task), task)

    def logits(self, inputs: ModelInput, task: str) -> Float[Tensor, "sample class"]:
        """Give the logits over the classes of ``task``."""
        with torch.inference_mode():
            return self.head(task)(self.features(inputs, task))

    def state(self) -> dict[str, Tensor]:
        """Give the coefficients, and under ``correction.TASK.`` and ``own.TASK.`` the rest."""
        tensors = {"coefficients": self.coefficients}
        for task, correction in self.corrections.items():
            tensors |= {f"correction.{task}.{k}": v for k, v in correction.state().items()}
        for task, own in self.own.items():
            tensors |= {f"own.{task}.{k}": v for k, v in own.items()}
        return {name: tensor.detach() for name, tensor in tensors.items()}

    def settings(self) -> dict[str, object]:
        """Give how the task vectors were thinned out."""
        selection = self.vectors.selection
        return {"selection": selection and selection.state()}


def own_weights(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the tower's weights with a task's own tensors in their places."""
    return {**weights, **{k: v for k, v in own.items() if not k.startswith(HEAD)}}


def own_head(head: Head, own: Mapping[str, Tensor]) -> Head:
    """Give a head with a task's own tensors in their places."""
    named: dict[str, Any] = {k[len(HEAD) :]: v for k, v in own.items() if k.startswith(HEAD)}
    return replace(head, **named)


@dataclass(frozen=True)
class Draw:
    """The address of one step's batches: task k gets ``batch_indices(seed, k, step, ...)``."""

    seed: int
    step: int
    batch_size: int
    batches: int
    tasks: tuple[str, ...] = ()
    """Whose batches; empty means every task's."""

    @property
    def size(self) -> int:
        """Images per task."""
        return self.batch_size * self.batches


@dataclass(frozen=True)
class Point:
    """Where a gradient is taken: the merge, and the tensors that tasks have for themselves."""

    vectors: TaskVectors
    coefficients: Float64[Tensor, "task segment"]
    own: Own = field(default_factory=dict)


class Gradient(NamedTuple):
    """A loss summed over tasks, and its gradient at a point."""

    loss: float
    coefficients: Float64[Tensor, "task segment"]
    own: Own


@runtime_checkable
class Facts(Protocol):
    """What a fixed model says about all images of one role of one task, in their order."""

    @property
    def features(self) -> Float[Tensor, "sample feature"]:
        """Final features, not normalised."""
        ...

    @property
    def logits(self) -> Float[Tensor, "sample class"]:
        """Logits of the task's head."""
        ...

    @property
    def confidence(self) -> Float[Tensor, " sample"]:
        """Largest softmax probability."""
        ...

    @property
    def layers(self) -> Float[Tensor, "sample layer width"]:
        """Class token after every block; no block of a task's model on another task's images."""
        ...


@runtime_checkable
class IndividualModels(Protocol):
    """The port to the fixed models and to gradients beside the data: local or on Ray."""

    def facts(self, model: str, task: str, role: Role) -> Facts:
        """Give what ``model`` (a task's name, or ``PRETRAINED``) says about a task's images."""
        ...

    def gradient(self, point: Point, draw: Draw, loss: BatchLoss) -> Gradient:
        """Give the adapt loss of the merged model and its gradient.

        Per task the loss is ``draw.batches`` times ``loss`` of the drawn images.
        """
        ...


@dataclass(frozen=True)
class Scope:
    """What a method may look at: unlabelled adapt images and facts about the fixed models."""

    models: IndividualModels
    adapt: Mapping[str, Samples]
    features: Callable[[MergedModel, str], Float[Tensor, "sample feature"]]
    agreement: Callable[[Model, int], float]
    seed: int
    precision: Precision = "float32"
    """What adaptation steps run the tower in."""


@dataclass(frozen=True)
class Problem:
    """Something that the coordinator minimises with Adam.

    ``backward(step)`` gives the loss and leaves gradients in ``parameters``; ``project()`` follows
    every step; ``lr`` is one rate or one per parameter; ``checks`` says when ``score()`` is taken,
    and what it decides. Parameters and ``memory`` are all that a step leaves to the next: a run
    that is interrupted goes on from them.
    """

    name: str
    parameters: tuple[Tensor, ...]
    steps: int
    lr: float | tuple[float, ...]
    backward: Callable[[int], float]
    project: Callable[[], None] = lambda: None
    checks: Checked = field(default_factory=Checked)
    score: Callable[[], float] = lambda: 0.0
    images: int = 0
    """Adapt images that a step draws, of all tasks."""
    memory: tuple[Tensor, ...] = ()
    """Tensors beside the parameters that ``backward`` changes in place, such as running means."""
    coefficients: Callable[[], Float64[Tensor, "task group"]] | None = None
    """Gives the merging coefficients among the parameters as the merge uses them now, if any."""
    groups: tuple[str, ...] = ()
    """Names of their columns: tensors, blocks or all of the tower."""


@dataclass(frozen=True)
class Plan:
    """Problems to solve in order, and the model that their solutions give."""

    problems: tuple[Problem, ...]
    result: Callable[[], MergedModel]


@dataclass(frozen=True)
class RoutedPlan:
    """As ``Plan``, where the model may be routed; no stage can follow on such a one."""

    problems: tuple[Problem, ...]
    result: Callable[[], Model]


@runtime_checkable
class Build(Protocol):
    """The entry point of a method's ``stage`` module."""

    def __call__(self, hyper: Any, model: MergedModel, scope: Scope, /) -> Plan | RoutedPlan:
        """Plan the stage on top of ``model``."""
        ...


def implementation(name: str) -> Build:
    """Give the ``build`` function of a method that METHODS lists."""
    build: Build = importlib.import_module(f"distmerge.methods.{name}.stage").build
    return build
