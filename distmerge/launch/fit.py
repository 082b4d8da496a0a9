"""Whether a study's actors and trials fit a cluster that is not up yet."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from distmerge.actors import Load, for_cluster, place_actors
from distmerge.errors import CapacityError
from distmerge.launch.kinds import Layout, NodeKind
from distmerge.spec import ModelFiles, RayConfig, Study
from distmerge.zoo import zoo_files

Resources = Mapping[str, float]
Nodes = Mapping[str, Resources]


class Fit(NamedTuple):
    """What a study finds on a cluster."""

    problems: Sequence[str]
    """Why it can never run there."""
    notes: Sequence[str]
    """What to know before it is started."""


def fit(study: Study, layout: Layout) -> Fit:
    """Give what keeps a study from running on a cluster at its largest size, and at its smallest.

    Nothing is known of nodes whose launch file does not say what they offer.
    """
    config = study.ray
    if not isinstance(config, RayConfig):
        return Fit([f"study {study.study}: ray: false keeps everything in the driver"], [])
    if not any(kind.resources for kind in layout.workers):
        return Fit([], ["what the hosts offer is known when they are up: ask `sweep --plan` then"])
    models = num_models(study)
    load = Load([f"model {number}" for number in range(models)])
    at_most = largest(layout, config)
    config = for_cluster(config, at_most)
    there = config.model_copy(update={"autoscaled": False})  # all nodes that may come
    try:
        actors = len(place_actors(there, load, at_most))
    except CapacityError as error:
        return Fit([f"at the largest size {error}"], [])
    notes = [f"study {study.study}: {models} models, {actors} actors at the largest size"]
    if not config.autoscaled:
        notes += _too_few_at_first(config, load, layout)
    return Fit([], notes)


def num_models(study: Study) -> int:
    """Give how many models the actors pin, with the pretrained one; 1 if the zoo is not built.

    Those of unseen tasks are among them: their own accuracy is what others are compared with.
    """
    models = study.models
    listed = models if isinstance(models, ModelFiles) else zoo_files(models.zoo)
    return 1 + (len(listed.tasks) if listed else 0)


def largest(layout: Layout, config: RayConfig) -> Nodes:
    """Give the nodes of the cluster with as many as there may be, the most useful first."""
    wanted = "CPU" if config.actor_gpus == config.trial_gpus == 0 else "GPU"
    left, counts = layout.max_workers, []
    for kind in sorted(layout.workers, key=lambda kind: -kind.resources.get(wanted, 0)):
        count = min(kind.largest, left)
        left -= count
        counts.append((kind, count))
    return _nodes(counts)


def _too_few_at_first(config: RayConfig, load: Load, layout: Layout) -> Iterator[str]:
    try:
        place_actors(config, load, _nodes((kind, kind.smallest) for kind in layout.kinds))
    except CapacityError:
        text = "no worker that is always up has room for it: raise min_workers, or set"
        yield f"{text} ray.autoscaled: true"


def _nodes(counts: Iterable[tuple[NodeKind, int]]) -> Nodes:
    return {f"{kind.name} {i}": kind.resources for kind, count in counts for i in range(count)}
