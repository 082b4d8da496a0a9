"""What a plan says of the cluster: its nodes, where actors go, how many trials fit.

Ray is imported only where there is a cluster to ask.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from distmerge.spec import AnyTower, RayConfig, Study
from distmerge.sweep.environment import set_ray_environment
from distmerge.sweep.plan.sections import Row, Section

if TYPE_CHECKING:
    from distmerge.actors import Place
    from distmerge.coordinator import Source


class Node(NamedTuple):
    """A node of a cluster that is up."""

    address: str
    resources: Mapping[str, float]


def cluster_section(study: Study) -> Section:
    """Give what the study asks of Ray."""
    config = study.ray
    if not isinstance(config, RayConfig):
        return Section("cluster", [("ray: false, everything in this process",)])
    actors = config.actors or "one per model, or as many as fit"
    text = (
        f"ray: actors: {actors}, of {config.actor_cpus:g} CPU {_gpus(config.actor_gpus)}; "
        f"trials of {config.trial_cpus:g} CPU {_gpus(config.trial_gpus)}; "
        f"gradients by the {config.gradient}"
    )
    return Section("cluster", [(text,)])


def _gpus(number: float | None) -> str:
    return "and a GPU if there is one" if number is None else f"{number:g} GPU"


def alive_nodes(study: Study) -> "dict[str, Node]":
    """Give the nodes of the cluster of ``RAY_ADDRESS`` by id; none without an address."""
    if not os.environ.get("RAY_ADDRESS") or study.ray is False:
        return {}
    set_ray_environment()
    import ray

    from distmerge.actors import cluster

    with cluster():
        alive = [node for node in ray.nodes() if node["Alive"]]
        return {
            node["NodeID"]: Node(node["NodeManagerAddress"], node["Resources"]) for node in alive
        }


def decided(config: RayConfig, nodes: Mapping[str, Node]) -> RayConfig:
    """Give the layout with GPUs where these nodes have them."""
    from distmerge.actors import for_cluster

    return for_cluster(config, {name: node.resources for name, node in nodes.items()})


def actor_places(
    study: Study, source: "Source", tower: AnyTower, nodes: Mapping[str, Node]
) -> "Sequence[Place]":
    """Give where the sweep would start its actors, by what the cluster has in all.

    Raises:
        CapacityError: lists what it lacks.
    """
    from distmerge.actors import place_actors
    from distmerge.sweep.plan.footprint import study_load

    assert isinstance(study.ray, RayConfig)
    load = study_load(study, source, tower, study.ray)
    return place_actors(study.ray, load, {name: node.resources for name, node in nodes.items()})


def placement_rows(
    study: Study, nodes: Mapping[str, Node], places: "Sequence[Place]"
) -> Iterator[Row]:
    """Yield a row per node with what would be pinned there, and how many trials fit in all."""
    from distmerge.actors import gpu_kind, num_trials

    assert isinstance(study.ray, RayConfig)
    yield "node", "CPU", "GPU", "actors and their models"
    for name, (address, resources) in nodes.items():
        groups = [_pinned(place) for place in places if place.node == name]
        gpus = f"{resources.get('GPU', 0):g} {gpu_kind(resources)}".strip()
        cpus = f"{resources.get('CPU', 0):g}"
        yield f"{address} {name[:6]}", cpus, gpus, "; ".join(groups) or "none"
    coming = [_pinned(place) for place in places if place.node not in nodes]
    yield from [("nodes to come", "", "", "; ".join(coming))] if coming else []
    total = Counter[str]()
    for node in nodes.values():
        total.update(node.resources)
    stay = len(places) if study.ray.gradient == "actors" else 0
    room = min(num_trials(study.ray, stay, total), study.ray.max_concurrent or sys.maxsize)
    yield (f"trials at a time: {room}",)


def _pinned(place: "Place") -> str:
    in_turn = place.at_once is not None and len(place.models) > place.at_once
    turns = f" ({place.at_once} at a time)" if in_turn else ""
    return ", ".join(place.models) + turns
