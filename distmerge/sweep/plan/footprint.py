"""Memory, streamed bytes and places of a study's actors and trials, before any is started."""

import os
from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from distmerge.coordinator import FeatureKey, Source
from distmerge.methods import HYPERS
from distmerge.methods.contract import PRETRAINED
from distmerge.models import forward_bytes, tasks_per_forward, tower_shapes, training_bytes
from distmerge.spec import AnyTower, RayConfig, Study, run_config
from distmerge.sweep.inputs import Inputs
from distmerge.sweep.plan.estimate import FLOAT, fact_bytes, size_text

if TYPE_CHECKING:
    from distmerge.actors import Load, Place

_BANK = {"float32": FLOAT, "bfloat16": 2}
Row = tuple[object, ...]


class Memory(NamedTuple):
    """What actors, trials and nodes hold."""

    rows: list[Row]
    warnings: list[str]


def num_parameters(config: AnyTower) -> int:
    """Give a tower's parameters."""
    return sum(prod(shape) for shape in tower_shapes(config).values())


def study_load(study: Study, source: Source, config: AnyTower, layout: RayConfig) -> "Load":
    """Give what the study's actors pin, and the bytes of that, of an actor and of a trial."""
    from distmerge.actors import Load  # here, since a plan without a cluster imports no Ray

    model, bank = _model_and_bank(study, source, config)
    models = (*(task.name for task in source.files.tasks), PRETRAINED)
    actor = actor_bytes(study, source, config, layout)
    return Load(models, model, actor, bank + trial_bytes(study, source, config))


def actor_bytes(study: Study, source: Source, config: AnyTower, layout: RayConfig) -> int:
    """Give what a task actor holds beside its models."""
    model, bank = _model_and_bank(study, source, config)
    forward = forward_bytes(config, study.block)
    if layout.gradient == "trial":
        return forward
    images = _images_of_tasks(study, source, config)
    held = bank + max(forward, 2 * model + training_bytes(config, images))
    return held + (bank - model if _thinned(study) else 0)


def trial_bytes(study: Study, source: Source, config: AnyTower) -> int:
    """Give what a trial holds beside the task vectors that all trials of a node share."""
    model, bank = _model_and_bank(study, source, config)
    images = _images_of_tasks(study, source, config)
    held = 2 * model + max(training_bytes(config, images), forward_bytes(config, study.block))
    return held + (bank - model if _thinned(study) else 0)


def memory(
    study: Study,
    inputs: Inputs,
    source: Source,
    *,
    places: "Sequence[Place]",
    keys: Sequence[FeatureKey],
) -> Memory:
    """Give what must fit.

    Args:
        study: the study, its layout decided for the cluster where one is known.
        inputs: its files' headers.
        source: its files.
        places: of the task actors, where they are known.
        keys: all facts that the study needs.
    """
    config = inputs.config
    model, bank = _model_and_bank(study, source, config)
    trial = trial_bytes(study, source, config)
    thinned = _thinned(study)
    vectors = f", the thinned vectors of {' and '.join(thinned)}" if thinned else ""
    rows: list[Row] = [("model", size_text(model), f"{num_parameters(config):,} parameters")]
    if isinstance(study.ray, RayConfig):
        beside = actor_bytes(study, source, config, study.ray)
        pinned = max((len(place.models[: place.at_once]) for place in places), default=1)
        what = f"{pinned} {'model' if pinned == 1 else 'models'} and the activations"
        what += f" {_counted(config, study.block)}"
        if study.ray.gradient == "actors":
            what += f", task vectors, gradient{vectors}"
        rows.append(("per actor", size_text(pinned * model + beside), what))
    rounded = "" if study.bank == "float32" else f" in {study.bank}"
    shared = "shared by all trials of a node"
    if isinstance(study.ray, RayConfig) and study.ray.trial_gpus:
        shared += "; each trial copies it to its GPU"
    shown = _images_of_tasks(study, source, config) or study.block
    what = f"merged model, gradient{vectors}, activations {_counted(config, shown)}"
    rows += [
        ("per trial", size_text(trial), what),
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


def _model_and_bank(study: Study, source: Source, config: AnyTower) -> tuple[int, int]:
    """Give the bytes of one model, and of base and task vectors."""
    parameters = num_parameters(config)
    return parameters * FLOAT, parameters * (FLOAT + len(source.seen) * _BANK[study.bank])


def _images_of_tasks(study: Study, source: Source, config: AnyTower) -> int:
    """Give how many images one forward of an adaptation step holds."""
    images, tasks = _images_per_step(study), len(source.seen)
    return images * tasks_per_forward(config, tasks, images, study.activations_mb)


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


def _counted(config: AnyTower, samples: int) -> str:
    if forward_bytes(config, samples) == 0:
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
