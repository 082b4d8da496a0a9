"""What a report pictures of a merged model, kept while the model is measured."""

import json
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Literal

import safetensors.torch
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize, pad

from distmerge.coordinator.diagrams import bin_sums, reliability, routing_tensors
from distmerge.coordinator.features import BlockFacts, StoredFacts
from distmerge.coordinator.recipe import sorted_text
from distmerge.coordinator.stages import input_batches, model_answers
from distmerge.coordinator.trace import Trace
from distmerge.coordinator.world import Material
from distmerge.methods.contract import (
    Answers,
    Facts,
    IndividualModels,
    MergedModel,
    Model,
    Routed,
    own_weights,
)
from distmerge.models import Encoding, forward_bytes
from distmerge.tasks import ModelInput, Role

IMAGES = 64
"""The first report images of every task are pictured."""
_MOST_BYTES = 2 << 30  # of the activations of one batch, whose tokens towers hold to give layers


class Album:
    """Measures a merged model, and keeps what a report pictures; that changes no number.

    No image is encoded twice: the first batch of a task's report images is encoded with its layers.
    What is kept is small, and of no size that grows with the images.
    """

    def __init__(self, material: Material, model: Model, models: IndividualModels) -> None:
        self._material, self._model, self._models = material, model, models
        self._merged = tuple(task.name for task in material.tasks)
        self._tensors: dict[str, Tensor] = {}
        self._sums: dict[tuple[str, str], Float[Tensor, "bin 3"]] = {}  # by diagram and task

    def logits(self, task: str, role: Role) -> Float[Tensor, "sample class"]:
        """Give the model's logits on all images of a role of a task, on the CPU."""
        batches = input_batches(self._material, self._material.task(task).samples(role))
        is_pictured = role == "report" and task in self._merged
        parts = [self._first(task, next(batches))] if is_pictured else []
        parts += [self._model.logits(batch, task).cpu() for batch in batches]
        logits = torch.cat(parts)
        if role != "select" and task in self._merged:
            self._count(task, role, logits)
        return logits

    def answers(self, task: str, role: Role) -> Answers:
        """Give a routed model's answers on all images of a role of a task, on the CPU."""
        assert isinstance(self._model, Routed)
        answers = model_answers(self._material, self._model, task, role)
        if role == "report":
            self._tensors |= routing_tensors(task, answers.routing, IMAGES)
        if role == "report" and task in self._merged:
            self._picture(task, {"merged": answers.features[:IMAGES]})
        if role != "select" and task in self._merged:
            logits = self._model.heads[task].to("cpu")(answers.features)
            self._count(task, role, logits, 1 - answers.uncertainty.double())
        return answers

    def pictures(self, traces: Sequence[Trace]) -> bytes:
        """Give what a report pictures of the run, once the model is measured, as safetensors.

        Tensors of a task end with ``.TASK``; those of problem N are ``trace.N.FIELD``.

        Args:
            traces: of every problem, in order.
        """
        sums: dict[str, Tensor] = {}
        for (name, _), own in self._sums.items():
            sums[name] = sums[name] + own if name in sums else own
        tensors = {**self._tensors, **{name: reliability(total) for name, total in sums.items()}}
        unseen = [task.name for task in self._material.unseen]
        return _file(tensors, traces, {"tasks": self._merged, "unseen": unseen})

    def _first(self, task: str, batch: ModelInput) -> Float[Tensor, "sample class"]:
        """Give the logits of a batch as the model does, and picture its images."""
        model = self._model
        assert isinstance(model, MergedModel)
        with torch.inference_mode():
            encoding = _encoded(model, batch, task)
            corrected = model.corrected(encoding.features, task)
            logits = model.head(task)(corrected).cpu()
        found = {"merged": encoding.features[:IMAGES].cpu()}
        if task in model.corrections:
            found["corrected"] = corrected[:IMAGES].cpu()
        self._picture(task, found)
        layers = encoding.layers[:IMAGES].cpu()
        if layers.shape[1]:
            own = _first_of(self._models.facts(task, task, "report"), "layers", len(layers))
            self._tensors[f"layers.{task}"] = (layers - own).abs().mean(dim=(0, 2))
        return logits

    def _picture(self, task: str, features: Mapping[str, Float[Tensor, "image feature"]]) -> None:
        """Keep where features lie, ``points.TASK`` (kind, image, 2), and how far off they are.

        Kinds are individual, merged and, where the model corrects features, corrected; the mean
        absolute differences, ``distance.TASK`` (kind), are of the latter two.
        """
        facts = self._models.facts(task, task, "report")
        own = _first_of(facts, "features", len(features["merged"]))
        distances = [(found - own).abs().mean() for found in features.values()]
        self._tensors[f"distance.{task}"] = torch.stack(distances)
        self._tensors[f"points.{task}"] = projected([own, *features.values()]).half()

    def _count(
        self,
        task: str,
        role: Role,
        logits: Float[Tensor, "sample class"],
        certainty: Float[Tensor, " sample"] | None = None,
    ) -> None:
        """Keep how sure the answers to report images are, and how many of them are right."""
        confidence, predicted = logits.double().softmax(dim=1).max(dim=1)
        right = predicted == torch.from_numpy(self._material.task(task).report.labels)
        self._sums[f"calibration.{role}", task] = bin_sums(confidence, right)
        if certainty is not None:
            self._sums[f"uncertainty.{role}", task] = bin_sums(certainty, right)


def projected(
    kinds: Sequence[Float[Tensor, "image feature"]],
) -> Float[Tensor, "kind image 2"]:
    """Give features of the same images in their plane of largest variance, all at length 1 before.

    Principal components of the first two kinds, so that a correction is seen in the plane of what
    it mends; the largest entry of each is positive, so that the picture is the same every time.
    Features that are not finite have no such plane: NaN.
    """
    directions = [normalize(kind.double(), dim=1) for kind in kinds]
    basis = torch.cat(directions[:2])
    if not bool(basis.isfinite().all()):
        return basis.new_full((len(kinds), len(kinds[0]), 2), torch.nan)
    centre = basis.mean(dim=0)
    _, _, axes = torch.linalg.svd(basis - centre, full_matrices=False)
    plane = pad(axes[:2], (0, 0, 0, max(0, 2 - len(axes))))
    largest = plane.gather(1, plane.abs().argmax(dim=1, keepdim=True))
    plane = plane * torch.where(largest < 0, -1.0, 1.0)
    return torch.stack([(kind - centre) @ plane.T for kind in directions])


def _file(
    tensors: Mapping[str, Tensor], traces: Sequence[Trace], texts: Mapping[str, Sequence[str]]
) -> bytes:
    named = {k: v.float() if v.dtype == torch.float64 else v for k, v in tensors.items()}
    for number, trace in enumerate(traces):
        fields = {k: v for k, v in trace._asdict().items() if isinstance(v, Tensor) and v.numel()}
        named |= {f"trace.{number}.{name}": tensor for name, tensor in fields.items()}
    problems = [{"problem": t.problem, "before": t.before, "groups": t.groups} for t in traces]
    contiguous = {name: tensor.contiguous() for name, tensor in named.items()}
    metadata = {k: json.dumps(text) for k, text in {**texts, "problems": problems}.items()}
    return sorted_text(safetensors.torch.save(contiguous, metadata))


def _encoded(model: MergedModel, batch: ModelInput, task: str) -> Encoding:
    """Give what the tower says; no layers where they would need much memory."""
    weights = own_weights(model.vectors.layout.unflatten(model.weights), model.own.get(task, {}))
    inputs = batch.to(model.weights.device)
    if forward_bytes(model.tower.config, len(batch)) <= _MOST_BYTES:
        return model.tower.encode(weights, inputs)
    features = model.tower.features(weights, inputs)
    return Encoding(features.new_zeros(len(features), 0, 0), features)


def _first_of(facts: Facts, name: Literal["features", "layers"], count: int) -> Tensor:
    """Give a field of the first images, without reading or joining the others', which are many."""
    if isinstance(facts, StoredFacts):
        return facts.store.field(facts.key, name, count)
    if isinstance(facts, BlockFacts):
        num_blocks = ceil(count / len(facts.blocks[0].features))
        facts = BlockFacts(facts.blocks[:num_blocks])
    found: Tensor = getattr(facts, name)[:count]
    return found
