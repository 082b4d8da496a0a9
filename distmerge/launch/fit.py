"""Whether a study's actors and trials fit a cluster that is not up yet."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from distmerge.actors import actor_resources, num_actors, trial_resources
from distmerge.errors import CapacityError
from distmerge.launch.kinds import Layout, NodeKind
from distmerge.spec import ModelFiles, RayConfig, Study
from distmerge.zoo import zoo_files

Resources = Mapping[str, float]


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
    problems = [*_nowhere(config, layout.workers)]
    models = num_models(study)
    try:
        actors = num_actors(config, models, largest(layout, config))
    except CapacityError as error:
        return Fit([*problems, f"at the largest size {error}"], [])
    notes = [f"study {study.study}: {models} models, {actors} actors at the largest size"]
    try:
        num_actors(config, models, _total((kind, kind.smallest) for kind in layout.kinds))
    except CapacityError:
        notes.append("no worker that is always up has room for it: raise min_workers")
    return Fit(problems, notes)


def num_models(study: Study) -> int:
    """Give how many models the actors pin, with the pretrained one; 1 if the zoo is not built."""
    models = study.models
    listed = models if isinstance(models, ModelFiles) else zoo_files(models.zoo)
    return 1 + (len(listed.tasks) - len(study.unseen) if listed else 0)


def largest(layout: Layout, config: RayConfig) -> Resources:
    """Give what the cluster offers with as many workers as there may be, the most useful first."""
    wanted = "GPU" if config.actor_gpus or config.trial_gpus else "CPU"
    left, counts = layout.max_workers, []
    for kind in sorted(layout.workers, key=lambda kind: -kind.resources.get(wanted, 0)):
        count = min(kind.largest, left)
        left -= count
        counts.append((kind, count))
    return _total(counts)


def _nowhere(config: RayConfig, workers: Sequence[NodeKind]) -> Iterator[str]:
    """Yield what is asked for in one piece and no kind of worker has."""
    asked = {"an actor": actor_resources(config), "a trial": trial_resources(config)}
    for who, wanted in asked.items():
        if not any(_holds(kind.resources, wanted) for kind in workers if kind.largest):
            amounts = ", ".join(f"{amount:g} {name}" for name, amount in wanted.items())
            yield f"{who} asks for {amounts} on one node; no kind of worker offers that"


def _holds(offered: Resources, wanted: Resources) -> bool:
    return all(offered.get(name, 0) >= amount for name, amount in wanted.items())


def _total(counts: Iterable[tuple[NodeKind, int]]) -> Resources:
    total: dict[str, float] = {}
    for kind, count in counts:
        for name, amount in kind.resources.items():
            total[name] = total.get(name, 0) + amount * count
    return total
