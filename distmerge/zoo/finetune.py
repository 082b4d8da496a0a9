"""Frozen prototype heads, and fine-tuning of a tower under one."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from distmerge.models import Head, StateDict, Tower
from distmerge.tasks import model_input
from distmerge.zoo.pictures import Pictures
from distmerge.zoo.recipe import FineTuning

_BATCH = 128  # images per forward pass where nothing is learned


def tower_features(
    tower: Tower, weights: Mapping[str, Tensor], pictures: Pictures
) -> Float[Tensor, "image feature"]:
    """Give the image features of all pictures, not normalised."""
    with torch.no_grad():
        return torch.cat(
            [
                tower.features(
                    weights,
                    model_input(pictures.pixels[i : i + _BATCH], tower.config.preprocess),
                )
                for i in range(0, len(pictures.pixels), _BATCH)
            ]
        )


def prototype_head(
    features: Float[Tensor, "image feature"],
    labels: Int64[Tensor, " image"],
    *,
    center: Float[Tensor, " feature"],
    num_classes: int,
    logit_scale: float,
) -> Head:
    """Give a head whose rows are the classes' mean directions, seen from ``center``.

    It stands in for CLIP's text embeddings. Source: zoo.md, section 2.
    """
    directions = normalize(features - center, dim=-1)
    members = torch.nn.functional.one_hot(labels, num_classes).float()
    prototypes = normalize(members.T @ directions, dim=-1)
    return Head(logit_scale * prototypes, torch.zeros(num_classes), center)


def fine_tuned(
    tower: Tower,
    base: Mapping[str, Tensor],
    head: Head,
    pictures: Pictures,
    recipe: FineTuning,
    generator: torch.Generator,
) -> StateDict:
    """Give the weights of ``base`` tuned to classify ``pictures`` under the frozen head.

    Args:
        tower: the architecture.
        base: the weights to start from; they are not modified.
        head: gives the logits that the cross-entropy reads.
        pictures: the training images.
        recipe: the optimiser and its schedule.
        generator: shuffles the images of every epoch.
    """
    weights = {name: tensor.clone().requires_grad_() for name, tensor in base.items()}
    optimizer = torch.optim.AdamW(weights.values(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    inputs = model_input(pictures.pixels, tower.config.preprocess)
    labels = torch.from_numpy(pictures.labels)
    size = min(recipe.batch, len(labels))
    steps = recipe.epochs * (len(labels) // size)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, steps, recipe.warmup_steps)
    )
    for _ in range(recipe.epochs):
        order = torch.randperm(len(labels), generator=generator)
        for batch in order[: len(labels) // size * size].split(size):
            loss = cross_entropy(head(tower.features(weights, inputs[batch])), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights.values(), recipe.max_grad_norm)
            optimizer.step()
            schedule.step()
    return {name: tensor.detach() for name, tensor in weights.items()}


def learning_rate_factor(step: int, steps: int, warmup_steps: int) -> float:
    """Give the share of the highest learning rate: a linear rise under a cosine to zero."""
    cosine = (1 + math.cos(math.pi * step / steps)) / 2
    return min(1.0, (step + 1) / warmup_steps) * cosine


def accuracy(tower: Tower, weights: Mapping[str, Tensor], head: Head, pictures: Pictures) -> float:
    """Give the share of pictures whose class is recognised, in [0, 1]."""
    predicted = head(tower_features(tower, weights, pictures)).argmax(dim=-1)
    return float((predicted == torch.from_numpy(pictures.labels)).float().mean())
