"""Where a study's task actors go, which models each pins, how many trials fit. Pure; knows no Ray.

One rule decides before a sweep (`--plan`, `cluster check`), at its start and while it runs.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from distmerge.actors.gpus import gpu_bytes, gpu_kind, on_kind
from distmerge.errors import CapacityError, problem_list
from distmerge.spec import RayConfig

Resources = Mapping[str, float]
Nodes = Mapping[str, Resources]
_CEILING = 1e-9  # what a share of a GPU may lack of a whole one by rounding


class Load(NamedTuple):
    """What a study asks for, in bytes of a device's memory."""

    models: Sequence[str]
    """What the actors pin, in the study's order."""
    model: int = 0
    """Bytes of one; 0: not known, so that memory limits nothing."""
    actor: int = 0
    """Bytes of an actor beside its models."""
    trial: int = 0
    """Bytes of a trial on a GPU, which holds the task vectors."""


class Place(NamedTuple):
    """Room for a task actor, and the models that it pins."""

    node: str
    kind: str = ""
    """The kind of GPU that it is to have; nothing where all are alike."""
    at_once: int | None = None
    """How many models its memory holds at a time; None: all."""
    models: tuple[str, ...] = ()


def for_cluster(config: RayConfig, nodes: Nodes) -> RayConfig:
    """Give the layout with GPUs decided: one each where the cluster has any, unless it says."""
    on_gpus = 1.0 if any(node.get("GPU", 0) >= 1 for node in nodes.values()) else 0.0
    asked = {"actor_gpus": config.actor_gpus, "trial_gpus": config.trial_gpus}
    return config.model_copy(update={k: on_gpus if v is None else v for k, v in asked.items()})


def place_actors(config: RayConfig, load: Load, nodes: Nodes) -> tuple[Place, ...]:
    """Give every task actor its node and its models: one per model, or as many as fit.

    Actors are spread over the nodes. Models go to the actor that has fewest of those with room in
    memory, so that GPUs of one kind differ by one model at most. Where all models together need
    more memory than there is, an actor has more models than it holds at a time, and loads them in
    turn. With ``gradient: actors`` the actors live beside the trials, and one trial must still fit.
    With ``autoscaled`` nothing is known of the nodes to come: all actors are asked for, anywhere.

    Args:
        config: the layout, as ``for_cluster`` decided it.
        load: what is to be placed.
        nodes: by name, what the nodes offer in all.

    Raises:
        CapacityError: lists what the cluster lacks for the study's actors and trials.
    """
    if config.autoscaled:
        place = Place("", at_once=_at_once(config, load, {}))
        if place.at_once == 0:
            raise CapacityError(_no_room(config, load))
        count = min(config.actors or len(load.models), len(load.models))
        return settled(load.models, [place] * count)
    kept = _beside_a_trial(config, nodes) if config.gradient == "actors" else nodes
    places = [*_places(config, load, kept)]
    wanted = config.actors or min(max(len(places), 1), len(load.models))
    problems = [*_lacking(config, load, nodes), *_too_few(config, wanted, places, nodes)]
    problems += _trials_too_large(config, load, nodes)
    if problems:
        raise CapacityError(problem_list("the cluster is too small for the study", problems))
    return settled(load.models, places[: min(wanted, len(load.models))])


def settled(models: Sequence[str], places: Sequence[Place]) -> tuple[Place, ...]:
    """Give the places with every model at one of them; those that have one keep it if they can.

    A model without a place goes to the one with fewest; then the fullest give to the emptiest.
    Places that are full are passed over as long as another has room.
    """
    held = [[m for m in place.models if m in models][: place.at_once] for place in places]
    homeless = [m for m in models if not any(m in there for there in held)]
    for model in homeless:
        _emptiest(held, places).append(model)
    while places:
        here, there = max(held, key=len), _emptiest(held, places)
        if len(here) - len(there) < 2:
            break
        there.append(here.pop())
    return tuple(p._replace(models=tuple(h)) for p, h in zip(places, held, strict=True))


def num_trials(config: RayConfig, actors: int, total: Resources) -> int:
    """Give how many trials fit at a time beside so many actors; one at least, on its way."""
    left = _left(total, actor_resources(config), actors)
    return max(1, _copies(trial_resources(config), left))


def in_the_way(config: RayConfig, actors: Mapping[str, int], nodes: Nodes) -> tuple[str, ...]:
    """Give which nodes must lose an actor so that one trial fits somewhere, a name per actor.

    None if it fits already; nor where the last actor would have to go.

    Args:
        config: the layout, as ``for_cluster`` decided it.
        actors: how many there are on each node.
        nodes: by name, what the nodes offer in all.
    """
    each, trial = actor_resources(config), trial_resources(config)
    ways = [
        (name,) * gone
        for name, node in nodes.items()
        for gone in range(actors.get(name, 0) + 1)
        if _copies(trial, _left(node, each, actors.get(name, 0) - gone))
    ]
    found = min(ways, key=len, default=())
    return found if len(found) < sum(actors.values()) else ()


def actor_resources(config: RayConfig, kind: str = "") -> dict[str, float]:
    """Give what one actor asks of Ray, on a GPU of a kind where that matters."""
    return _resources(config.actor_cpus, config.actor_gpus) | on_kind(kind)


def trial_resources(config: RayConfig) -> dict[str, float]:
    """Give what one trial asks of Ray."""
    return _resources(config.trial_cpus, config.trial_gpus)


def _emptiest(held: Sequence[list[str]], places: Sequence[Place]) -> list[str]:
    """Give the models of the place with fewest, of those with room if there is one."""
    pairs = zip(held, places, strict=True)
    roomy = [there for there, p in pairs if p.at_once is None or len(there) < p.at_once]
    return min(roomy or held, key=len)


def _places(config: RayConfig, load: Load, nodes: Nodes) -> Iterator[Place]:
    """Yield room for actors, the most spread first, and on the largest GPUs first."""
    kinds = {gpu_kind(node) for node in nodes.values() if node.get("GPU")}
    rooms = {}
    for name, node in nodes.items():
        kind, at_once = gpu_kind(node), _at_once(config, load, node)
        if at_once != 0:
            place = Place(name, kind if config.actor_gpus and len(kinds) > 1 else "", at_once)
            rooms[place] = _copies(actor_resources(config), node)
    order = sorted(rooms, key=lambda place: -(place.at_once or 0))
    for number in range(max(rooms.values(), default=0)):
        yield from (place for place in order if rooms[place] > number)


def _at_once(config: RayConfig, load: Load, node: Resources) -> int | None:
    """Give how many models an actor on a node holds at a time; None: memory is no limit there."""
    memory = _gpu_memory(config, node)
    if not config.actor_gpus or memory is None or not load.model:
        return None
    return max(0, int(memory * min(1.0, config.actor_gpus)) - load.actor) // load.model


def _gpu_memory(config: RayConfig, node: Resources) -> int | None:
    if config.gpu_memory_gb is not None:
        return int(config.gpu_memory_gb * 2**30)
    return gpu_bytes(gpu_kind(node))


def _beside_a_trial(config: RayConfig, nodes: Nodes) -> Nodes:
    """Give what is left once a trial is where that costs the fewest actors, on a large node."""
    each, trial = actor_resources(config), trial_resources(config)

    fitting = [name for name, node in nodes.items() if _copies(trial, node)]
    if not fitting:
        return nodes  # which is a problem of its own
    left = {name: _left(nodes[name], trial) for name in fitting}
    after = {name: _copies(each, left[name]) for name in fitting}
    best = min(fitting, key=lambda n: (_copies(each, nodes[n]) - after[n], -after[n]))
    return {**nodes, best: left[best]}


def _left(offered: Resources, each: Resources, count: int = 1) -> Resources:
    return {name: amount - count * each.get(name, 0) for name, amount in offered.items()}


def _resources(cpus: float, gpus: float | None) -> dict[str, float]:
    return {"CPU": cpus, "GPU": gpus} if gpus else {"CPU": cpus}


def _copies(each: Resources, offered: Resources) -> int:
    return max(0, min(_parts(offered.get(name, 0.0), each[name], name) for name in each))


def _parts(offered: float, amount: float, name: str) -> int:
    """Give how often an amount fits; a share of a GPU lies on one GPU."""
    if name != "GPU" or amount >= 1:
        return math.floor(offered / amount + _CEILING)
    whole = math.floor(offered + _CEILING)
    rest = max(0.0, offered - whole)
    return whole * math.floor(1 / amount + _CEILING) + math.floor(rest / amount + _CEILING)


def _has(nodes: Nodes) -> str:
    totals = {kind: sum(node.get(kind, 0) for node in nodes.values()) for kind in ("CPU", "GPU")}
    count = f" on {len(nodes)} nodes" if len(nodes) > 1 else ""
    return ", ".join(f"{total:g} {kind}" for kind, total in totals.items()) + count


def _asks(resources: Resources) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in resources.items())


def _lacking(config: RayConfig, load: Load, nodes: Nodes) -> Iterator[str]:
    """Yield what no node has: room for a trial, a GPU that holds one model."""
    trial = trial_resources(config)
    if not any(_copies(trial, node) for node in nodes.values()):
        asks = f"a trial asks for {_asks(trial)} on one node"
        yield f"ray.trial_cpus, ray.trial_gpus: {asks}; the cluster has {_has(nodes)}"
    able = [node for node in nodes.values() if _copies(actor_resources(config), node)]
    if able and all(_at_once(config, load, node) == 0 for node in able):
        yield _no_room(config, load)


def _no_room(config: RayConfig, load: Load) -> str:
    gib = (load.actor + load.model) / 2**30
    return (
        f"ray.actor_gpus: {config.actor_gpus:g}: a model and its activations need {gib:.1f} GiB, "
        "and no GPU offers that to an actor; give actors a larger share, or lower block"
    )


def _too_few(
    config: RayConfig, wanted: int, places: Sequence[Place], nodes: Nodes
) -> Iterator[str]:
    if wanted > len(places):
        beside = " beside a trial" if config.gradient == "actors" else ""
        yield (
            f"ray.actors: {wanted} actors of {_asks(actor_resources(config))} on one node each; "
            f"{len(places)} fit{beside}; the cluster has {_has(nodes)}"
        )


def _trials_too_large(config: RayConfig, load: Load, nodes: Nodes) -> Iterator[str]:
    """Yield which GPUs have too little memory for the trials that Ray would put there."""
    share = config.trial_gpus
    if not share:
        return
    together = max(1, math.floor(1 / share + _CEILING))
    together = min(together, config.max_concurrent or together)
    for kind in dict.fromkeys(gpu_kind(node) for node in nodes.values() if node.get("GPU")):
        node = next(n for n in nodes.values() if n.get("GPU") and gpu_kind(n) == kind)
        memory = _gpu_memory(config, node)
        if memory is not None and load.trial * together > memory:
            each, has = load.trial / 2**30, memory / 2**30
            yield (
                f"ray.trial_gpus: {share:g} lets {together} trials of {each:.1f} GiB share a GPU "
                f"({kind or 'kind not known'}) with {has:.1f} GiB to use; give each a larger "
                "share, or set bank: bfloat16 or a lower activations_mb"
            )
