"""Heads from class names: CLIP's zero-shot classifier."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache as once
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from torch.nn.functional import normalize

from distmerge.errors import CheckpointError, problem_list
from distmerge.models.clip_text import ClipText, model_config, text_problems
from distmerge.models.head import Head, save_head
from distmerge.models.prompts import Prompts, prompt_problems, read_prompts
from distmerge.models.state import file_digest
from distmerge.spec import ZeroShotHead, digest

REVISION = 1  # raise it whenever a head comes out differently


class Wanted(NamedTuple):
    """A zero-shot head that a task asks for."""

    head: ZeroShotHead
    names: tuple[str, ...]
    """What the task's data call its classes."""


def zero_shot_head(
    text: Path, model: str, *, classes: Sequence[str], templates: Sequence[str]
) -> Head:
    """Give the head of class names: center 0, bias 0.

    A class's row is the mean of its normalised embeddings in all templates, normalised again,
    times ``exp(logit_scale)``. Source: Radford et al. 2021 (arXiv:2103.00020), section 3.1.4, and
    the notebook Prompt_Engineering_for_ImageNet of its repository; algorithms.md 1.3.

    Args:
        text: safetensors of the whole open_clip model, or of its text tower and ``logit_scale``.
        model: open_clip's name of the model, or a JSON file like its model configurations.
        classes: what the classes are called.
        templates: sentences with one ``{}`` each.

    Raises:
        CheckpointError: lists the templates and class names, or the tensors, that do not fit.
    """
    problems = list(prompt_problems(classes, templates))
    if problems:
        raise CheckpointError(problem_list("zero-shot head", problems))
    return _head(ClipText(text, model), Prompts(tuple(classes), tuple(templates)))


def zero_shot_problems(
    head: ZeroShotHead, names: tuple[str, ...] | None, feature_dim: int
) -> Iterator[str]:
    """Yield what does not fit as far as lists and headers tell, without reading a tensor.

    Args:
        head: what is asked for.
        names: what the data call the classes; None: not known yet.
        feature_dim: width of the features that the head reads.
    """
    try:
        read_prompts(head, names)
    except CheckpointError as error:
        yield str(error)
    yield from text_problems(head.text, head.model, feature_dim)


def zero_shot_files(
    wanted: Mapping[str, Wanted], *, feature_dim: int, cache: Path
) -> dict[str, Path]:
    """Give every task's zero-shot head as a file, made unless ``cache`` has it.

    A file's name is made of what decides the head: the text encoder's weights and configuration,
    templates and class names.

    Args:
        wanted: the heads by task.
        feature_dim: width of the image features that the heads read.
        cache: folder of heads.

    Raises:
        CheckpointError: lists what does not fit, of all heads; or the cache cannot be written.
    """
    encoder, content = once(ClipText), once(file_digest)
    paths, problems = {}, []
    for task, (head, names) in wanted.items():
        try:
            _check(head, names, feature_dim)
            prompts = read_prompts(head, names)
            key = [REVISION, content(head.text), model_config(head.model), prompts]
            paths[task] = cache / f"{digest(key)}.safetensors"
            if not paths[task].exists():
                save_head(paths[task], _head(encoder(head.text, head.model), prompts))
        except CheckpointError as error:
            problems.append(f"task {task}: {error}")
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"{cache}: cannot write the cache ({error}); set DISTMERGE_CACHE to a folder that "
                "can be written"
            ) from error
    if problems:
        raise CheckpointError(problem_list("zero-shot heads", problems))
    return paths


def _check(head: ZeroShotHead, names: tuple[str, ...], feature_dim: int) -> None:
    problems = list(zero_shot_problems(head, names, feature_dim))
    if problems:
        raise CheckpointError("; ".join(problems))


def _head(encoder: ClipText, prompts: Prompts) -> Head:
    embeddings = normalize(encoder(prompts.texts), dim=-1)
    means = embeddings.unflatten(0, (len(prompts.classes), -1)).mean(dim=1)
    weight = encoder.scale * normalize(means, dim=-1)
    return Head(weight, torch.zeros(len(weight)), torch.zeros(weight.shape[1]))
