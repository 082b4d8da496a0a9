"""The only owner of the task actors' reservations; it follows the cluster as nodes leave and come.

Each actor has a placement group of its own, so that its room stays its own while it is started
again, and so that Ray, and an autoscaler, know what is missing as long as its node is gone.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple

import ray
from ray.exceptions import ActorDiedError, GetTimeoutError, RayError, RayTaskError
from ray.util import placement_group_table
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from distmerge.actors.cluster import nodes
from distmerge.actors.placement import (
    Load,
    Place,
    actor_resources,
    in_the_way,
    place_actors,
    settled,
)
from distmerge.coordinator import Source, TaskWorker, WorkerInfo
from distmerge.errors import CapacityError, WorkerDiedError, WorkerTimeoutError
from distmerge.spec import RayConfig

TaskActor = ray.remote(TaskWorker)
LOOK_S = 2.0  # how often the cluster is looked at
_GRACE_S = 10.0  # Ray finds another node for a lost actor in less, if there is one with room


class Member(NamedTuple):
    """One task actor and the models that it pins."""

    actor: Any
    models: tuple[str, ...]


@dataclass
class _Seat:
    """A task actor's reservation."""

    group: PlacementGroup
    actor: Any
    place: Place
    """With the models that it has now; of one that is away, none."""
    is_granted: bool = False
    away_since: float = 0.0


class Pool:
    """Task actors; a context manager that leaves nothing behind.

    ``arrays`` (object references of the flat base and task vectors) let actors compute gradients.
    """

    def __init__(
        self,
        source: Source,
        load: Load,
        config: RayConfig,
        *,
        arrays: Mapping[str, Any] | None = None,
    ) -> None:
        self._source, self._load, self._config = source, load, config
        self._arrays = dict(arrays or {})
        self._seats: list[_Seat] = []
        self._looked_at = 0.0
        self.members: list[Member] = []
        """The actors that are there, and who pins what; ``follow`` keeps the list up to date."""

    def __enter__(self) -> "Pool":
        """Reserve, start and wait until every model is loaded.

        Raises:
            CapacityError: the cluster is too small, or the reservations are not granted in time.
            WorkerTimeoutError: an actor does not load its models in time.
        """
        try:
            for place in place_actors(self._config, self._load, nodes()):
                self._take(place)
            self._wait()
            self.infos()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the actors and give the reservations back."""
        self.close()

    def infos(self) -> list[WorkerInfo]:
        """Give every actor's process, models and device.

        Raises:
            WorkerTimeoutError: an actor does not answer in time.
        """
        return [
            answer(member.actor.info.remote(), self._config.timeout_s, f"loading {member.models}")
            for member in self.members
        ]

    def follow(self) -> bool:
        """Look at the cluster, unless it was a moment ago; give whether ``members`` changed.

        Who was away for a while loses its models to the others, and is given some when it is back.
        Where nodes have come, further actors are reserved; each has models once it is granted.
        Where nodes have left and no trial fits beside the actors any more, one does again.
        """
        now = time.monotonic()
        if now - self._looked_at < LOOK_S:
            return False
        self._looked_at = now
        self._reserve_more()
        self._look(now)
        if self._config.gradient == "actors" and not self._config.autoscaled:
            self._make_room()
        return self._settle()

    @property
    def described(self) -> str:
        """Who is there and pins what, for people."""
        groups = "; ".join(", ".join(member.models) for member in self.members)
        return f"{len(self.members)} of {len(self._seats)} actors are there: {groups}"

    @property
    def missing(self) -> str:
        """What is reserved and not granted, for people; nothing if all is there."""
        away = Counter(
            str(actor_resources(self._config, seat.place.kind))
            for seat in self._seats
            if not seat.is_granted
        )
        waiting = "; ".join(f"{count} actors of {asked}" for asked, count in away.items())
        return f"not granted: {waiting}; " if waiting else ""

    def close(self) -> None:
        """Stop the actors and give the reservations back; safe to call twice."""
        while self._seats:
            self._give_back(self._seats[-1])
        self.members.clear()

    def _take(self, place: Place) -> None:
        """Reserve room near a place, if need be elsewhere, and start an actor as it is granted."""
        group = placement_group(
            [actor_resources(self._config, place.kind)],
            strategy="STRICT_PACK",
            _soft_target_node_id=place.node or None,
        )
        self._seats.append(_Seat(group, self._start(group, place), place))

    def _wait(self) -> None:
        """Wait until the actors are granted; some will do once that takes long.

        Raises:
            CapacityError: none is.
        """
        start, longest_s = time.monotonic(), self._config.timeout_s
        while not all(seat.is_granted for seat in self._seats):
            self._look(time.monotonic())
            some = any(seat.is_granted for seat in self._seats)
            patience_s = min(self._config.start_timeout_s, longest_s) if some else longest_s
            if time.monotonic() - start > patience_s:
                break
            time.sleep(0.05)
        self._settle()
        if not self.members:
            raise CapacityError(
                f"no task actor was granted in {longest_s:g} s (ray.timeout_s); "
                f"{self.missing}free now: {ray.available_resources()}"
            )

    def _reserve_more(self) -> None:
        some = self._config.model_copy(update={"actors": None})  # if not all of them fit yet
        try:
            places = place_actors(some, self._load, nodes())[: self._config.actors]
        except CapacityError:
            return  # nodes have left
        if (count := len(places) - len(self._seats)) > 0:
            taken = Counter(seat.place.node for seat in self._seats)
            for place in [*_without(places, taken)][:count]:
                self._take(place._replace(models=()))

    def _make_room(self) -> None:
        """Give back what keeps every trial from fitting; what is not granted would take it next."""
        there = Counter(seat.place.node for seat in self._seats if seat.is_granted)
        leaving = Counter(in_the_way(self._config, there, nodes()))
        for seat in [*self._seats] if leaving else []:
            if not seat.is_granted or leaving[seat.place.node] > 0:
                leaving[seat.place.node] -= seat.is_granted
                self._give_back(seat)

    def _give_back(self, seat: _Seat) -> None:
        self._seats.remove(seat)
        ray.kill(seat.actor)
        remove_placement_group(seat.group)

    def _look(self, now: float) -> None:
        """See whose reservation stands, and where."""
        table = placement_group_table()
        for seat in self._seats:
            known = table[seat.group.id.hex()]
            is_granted = known["state"] == "CREATED"
            if is_granted:
                seat.place = seat.place._replace(node=known["bundles_to_node_id"][0])
            elif seat.is_granted:
                seat.away_since = now
            seat.is_granted = is_granted

    def _settle(self) -> bool:
        """Give every model a place among the actors that are there; give whether that changed."""
        now = time.monotonic()
        there = [s for s in self._seats if s.is_granted or now - s.away_since < _GRACE_S]
        there = [s for s in there if s.is_granted or s.place.models]
        if not there:
            return False
        for seat in self._seats:
            if seat not in there:
                seat.place = seat.place._replace(models=())
        places = settled(self._load.models, [seat.place for seat in there])
        for seat, place in zip(there, places, strict=True):
            seat.place = place
        before, self.members[:] = [*self.members], [Member(s.actor, s.place.models) for s in there]
        return before != self.members

    def _start(self, group: PlacementGroup, place: Place) -> Any:
        on_gpu = bool(self._config.actor_gpus)
        hidden = {} if on_gpu else {"env_vars": {"CUDA_VISIBLE_DEVICES": ""}}
        options = TaskActor.options(
            num_cpus=self._config.actor_cpus,
            num_gpus=self._config.actor_gpus,
            max_restarts=self._config.max_restarts,
            max_task_retries=-1,  # a node that is lost costs several, until Ray knows of it
            runtime_env=hidden,
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, 0),
        )
        device = device_name(self._config, self._config.actor_gpus)
        return options.remote(
            self._source, place.models, device=device, at_once=place.at_once, **self._arrays
        )


def device_name(config: RayConfig, gpus: float | None) -> str:
    """Give the device of a process that Ray grants ``gpus``."""
    return "cuda:0" if gpus and config.device == "cuda" else "cpu"


def _without(places: Sequence[Place], taken: Counter[str]) -> Iterator[Place]:
    """Yield the places that are not taken, of a node as many as it has beyond those."""
    left = taken.copy()
    for place in places:
        if left[place.node] > 0:
            left[place.node] -= 1
        else:
            yield place


def answer(ref: Any, timeout_s: float, what: str) -> Any:
    """Give a worker's answer; an error of ours comes out as it was raised there.

    Raises:
        WorkerDiedError: the worker is lost for good.
        WorkerTimeoutError: there is none in time.
    """
    try:
        return ray.get(ref, timeout=timeout_s)
    except GetTimeoutError as error:
        raise WorkerTimeoutError(late(what, timeout_s)) from error
    except ActorDiedError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise WorkerDiedError(f"{what}: the actor is lost: {reason}") from error
    except RayTaskError as error:
        raise error.cause from error
    except RayError as error:
        reason = str(error).strip().splitlines()[0]
        raise WorkerDiedError(f"{what}: lost ({type(error).__name__}: {reason})") from error


def late(what: str, timeout_s: float) -> str:
    """Give what is said of an answer that does not come."""
    return (
        f"{what}: no answer in {timeout_s:g} s (ray.timeout_s); a lost actor may wait for "
        f"resources that nobody has; free now: {ray.available_resources()}"
    )
