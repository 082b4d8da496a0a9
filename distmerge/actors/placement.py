"""How many actors a cluster holds, and which models each pins. Pure; knows no Ray."""

import math
from collections.abc import Iterator, Mapping, Sequence

from distmerge.errors import CapacityError, problem_list
from distmerge.spec import RayConfig

Resources = Mapping[str, float]


def num_actors(config: RayConfig, num_models: int, total: Resources) -> int:
    """Give how many actors to start: one per model, or as many as fit.

    With ``gradient: actors`` the actors live beside the trials, and one trial must still fit.

    Raises:
        CapacityError: lists what the cluster lacks for the study's actors and trials.
    """
    reserved = trial_resources(config) if config.gradient == "actors" else {}
    room = _copies(actor_resources(config), total, reserved)
    wanted = config.actors or min(num_models, max(room, 1))
    problems = list(_shortages(config, wanted, room, total))
    if problems:
        raise CapacityError(problem_list("the cluster is too small for the study", problems))
    return min(wanted, num_models)


def num_trials(config: RayConfig, actors: int, total: Resources) -> int:
    """Give how many trials fit at a time beside so many actors; one at least, on its way."""
    held = {name: actors * amount for name, amount in actor_resources(config).items()}
    return max(1, _copies(trial_resources(config), total, held))


def assign(models: Sequence[str], actors: int) -> tuple[tuple[str, ...], ...]:
    """Give each actor its models, dealt in turn, so that loads differ by one at most."""
    return tuple(tuple(models[i::actors]) for i in range(actors))


def actor_resources(config: RayConfig) -> dict[str, float]:
    """Give what one actor asks of Ray."""
    return _resources(config.actor_cpus, config.actor_gpus)


def trial_resources(config: RayConfig) -> dict[str, float]:
    """Give what one trial asks of Ray."""
    return _resources(config.trial_cpus, config.trial_gpus)


def _resources(cpus: float, gpus: float) -> dict[str, float]:
    return {"CPU": cpus, "GPU": gpus} if gpus else {"CPU": cpus}


def _copies(each: Resources, total: Resources, reserved: Resources) -> int:
    return math.floor(
        min(
            (total.get(name, 0) - reserved.get(name, 0)) / amount + 1e-9
            for name, amount in each.items()
        )
    )


def _shortages(config: RayConfig, wanted: int, room: int, total: Resources) -> Iterator[str]:
    has = ", ".join(f"{total.get(name, 0):g} {name}" for name in ("CPU", "GPU"))
    trial = trial_resources(config)
    if _copies(trial, total, {}) < 1:
        asks = ", ".join(f"{amount:g} {name}" for name, amount in trial.items())
        yield f"ray.trial_cpus, ray.trial_gpus: a trial asks for {asks}; the cluster has {has}"
    if wanted > room:
        asks = ", ".join(f"{amount:g} {n}" for n, amount in actor_resources(config).items())
        beside = " beside a trial" if config.gradient == "actors" else ""
        yield (
            f"ray.actors: {wanted} actors of {asks} each; {max(room, 0)} fit{beside}; "
            f"the cluster has {has}"
        )
