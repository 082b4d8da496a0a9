"""Memory, streamed bytes and places of a study's actors and trials, before any is started."""

import os
from collections.abc import Iterator, Mapping, Sequence
from math import ceil, prod
from typing import NamedTuple

from distmerge.coordinator import FeatureKey
from distmerge.methods import HYPERS
from distmerge.models import forward_bytes, tasks_per_forward, tower_shapes, training_bytes
from distmerge.spec import RayConfig, Study, run_config
from distmerge.sweep.estimate import FLOAT, fact_bytes, size_text
from distmerge.sweep.inputs import Inputs

_BANK = {"float32": FLOAT, "bfloat16": 2}
Row = tuple[object, ...]
Resources = Mapping[str, float]


class Memory(NamedTuple):
    """What actors, trials and nodes hold."""

    rows: list[Row]
    warnings: list[str]


def num_parameters(inputs: Inputs) -> int:
    """Give the tower's parameters."""
    return sum(prod(shape) for shape in tower_shapes(inputs.config).values())


def memory(
    study: Study,
    inputs: Inputs,
    *,
    num_tasks: int,
    num_actors: int | None,
    keys: Sequence[FeatureKey],
) -> Memory:
    """Give what must fit.

    Args:
        study: the study.
        inputs: its files' headers.
        num_tasks: how many are merged.
        num_actors: task actors, where they are known.
        keys: all facts that the study needs.
    """
    parameters = num_parameters(inputs)
    model = parameters * FLOAT
    vectors = num_tasks * parameters * _BANK[study.bank]
    bank = model + vectors
    rounded = "" if study.bank == "float32" else f" in {study.bank}"
    images = _images_per_step(study)
    images *= tasks_per_forward(inputs.config, num_tasks, images, study.activations_mb)
    trial = 2 * model + max(
        training_bytes(inputs.config, images), forward_bytes(inputs.config, study.block)
    )
    in_trial, thinned, shown = "", _thinned(study), images or study.block
    if thinned:
        trial += vectors
        in_trial = f", the thinned vectors of {' and '.join(thinned)}"
    rows: list[Row] = [("model", size_text(model), f"{parameters:,} parameters")]
    shared = "shared by all trials of a node"
    if isinstance(study.ray, RayConfig) and study.ray.trial_gpus:
        shared += "; each trial copies it to its GPU"
    if isinstance(study.ray, RayConfig):
        pinned = ceil((len(inputs.types)) / (num_actors or len(inputs.types)))
        actor = pinned * model + forward_bytes(inputs.config, study.block)
        what = f"{pinned} {'model' if pinned == 1 else 'models'} and the activations"
        rows.append(("per actor", size_text(actor), f"{what} {_counted(inputs, study.block)}"))
    rows += [
        (
            "per trial",
            size_text(trial),
            f"merged model, gradient{in_trial}, activations {_counted(inputs, shown)}",
        ),
        ("per node", size_text(bank), f"task vectors{rounded} and base, {shared}"),
    ]
    if study.ray is False and inputs.counted:
        facts = _held_bytes(inputs, keys)
        bank += facts
        what = "features and logits of all roles, and one role's layers, in this process"
        rows.append(("facts", size_text(facts), what))
    here = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if study.ray is False and bank + trial > here:
        text = f"this machine has {size_text(here)}; the study needs {size_text(bank + trial)}"
        return Memory(rows, [text])
    return Memory(rows, [])


def _held_bytes(inputs: Inputs, keys: Sequence[FeatureKey]) -> int:
    """Give what one process holds of the facts: of all layers it reads one role's at a time."""
    classes = {task: stock.classes for task, stock in inputs.stocks.items()}
    whole = [fact_bytes(inputs.config, key, inputs.counts, classes) for key in keys]
    image = prod(inputs.config.layer_features) * FLOAT
    layers = [0 if k.crossed else inputs.counts[k.task, k.role] * image for k in keys]
    return sum(whole) - sum(layers) + max(layers)


def feature_rows(
    inputs: Inputs, keys: Sequence[FeatureKey], missing: Sequence[FeatureKey] | None
) -> Iterator[Row]:
    """Yield how many facts are to be computed, and their bytes.

    Args:
        inputs: the files' headers.
        keys: all facts that the study needs.
        missing: those that are not cached; None where that is not known.
    """
    distinct = {key.digest: key for key in missing}.values() if missing is not None else keys
    if missing is None:
        yield "to compute", f"at most {len(keys)} roles", "no sweep has read these files yet"
    else:
        yield "to compute", f"{len(missing)} of {len(keys)} roles", "the rest is cached"
    if not inputs.counted:
        yield "to stream", "unknown", "samples are not counted yet"
        return
    classes = {task: stock.classes for task, stock in inputs.stocks.items()}
    total = sum(fact_bytes(inputs.config, key, inputs.counts, classes) for key in distinct)
    config = inputs.config
    layers, width = config.layer_features
    of_layers = f"{layers} layers x {width}, " if layers else ""
    content = f"{of_layers}features and logits per sample, float32"
    yield "to stream", f"{'' if inputs.exact else 'about '}{size_text(total)}", content


def spread(
    actors: Sequence[Sequence[str]], each: Resources, nodes: Mapping[str, Resources]
) -> dict[str, list[Sequence[str]]]:
    """Give the likely node of every actor: the emptiest one that has room, as Ray's SPREAD does.

    Actors that fit nowhere are under no node.
    """
    free = {name: dict(resources) for name, resources in nodes.items()}
    placed: dict[str, list[Sequence[str]]] = {name: [] for name in nodes}
    for models in actors:
        fitting = [
            name
            for name, left in free.items()
            if all(left.get(kind, 0) + 1e-9 >= amount for kind, amount in each.items())
        ]
        if not fitting:
            break
        chosen = min(fitting, key=lambda name: len(placed[name]))
        placed[chosen].append(models)
        for kind, amount in each.items():
            free[chosen][kind] -= amount
    return placed


def _counted(inputs: Inputs, samples: int) -> str:
    if forward_bytes(inputs.config, samples) == 0:
        return f"of {samples} samples, which are not known for such a tower and not counted"
    return f"of {samples} samples (estimate)"


def _images_per_step(study: Study) -> int:
    """Give the most images of a task that one backward pass of a pipeline's defaults sees."""
    return max(
        stage.hyper.images_per_step
        for pipeline in study.alternatives
        for stage in run_config(pipeline, {}, study.seed, HYPERS).stages
    )


def _thinned(study: Study) -> list[str]:
    stages = dict.fromkeys(stage for pipeline in study.alternatives for stage in pipeline.stages)
    return [stage for stage in stages if "density" in HYPERS[stage].model_fields]
