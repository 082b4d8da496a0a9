"""The only owner of a placement group: task actors, each with its models pinned."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import ray
from ray.exceptions import ActorDiedError, GetTimeoutError, RayError, RayTaskError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from distmerge.actors.placement import actor_resources, assign
from distmerge.coordinator import Source, TaskWorker, WorkerInfo
from distmerge.errors import CapacityError, WorkerDiedError, WorkerTimeoutError
from distmerge.spec import RayConfig

TaskActor = ray.remote(TaskWorker)


class Member(NamedTuple):
    """One task actor and the models that it pins."""

    actor: Any
    models: tuple[str, ...]


class Pool:
    """Task actors in one placement group; a context manager that leaves nothing behind.

    ``arrays`` (object references of the flat base and task vectors) let actors compute gradients.
    """

    def __init__(
        self,
        source: Source,
        models: Sequence[str],
        config: RayConfig,
        *,
        actors: int,
        arrays: Mapping[str, Any] | None = None,
    ) -> None:
        self._source, self._config, self._arrays = source, config, dict(arrays or {})
        self._assigned = assign(models, actors)
        self._group: PlacementGroup | None = None
        self.members: tuple[Member, ...] = ()

    def __enter__(self) -> "Pool":
        """Reserve, start and wait until every model is loaded.

        Raises:
            CapacityError: the reservation is not granted in time.
            WorkerTimeoutError: an actor does not load its models in time.
        """
        try:
            self._reserve()
            self.members = tuple(
                Member(self._start(i, models), models) for i, models in enumerate(self._assigned)
            )
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
        """Stop the actors and give the reservation back."""
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

    def close(self) -> None:
        """Stop the actors and give the reservation back; safe to call twice."""
        for member in self.members:
            ray.kill(member.actor)
        self.members = ()
        if self._group is not None:
            remove_placement_group(self._group)
            self._group = None

    def _reserve(self) -> None:
        bundles = [actor_resources(self._config) for _ in self._assigned]
        self._group = placement_group(bundles, strategy="SPREAD")
        if not self._group.wait(self._config.timeout_s):
            raise CapacityError(
                f"{len(bundles)} actors of {bundles[0]} were not granted in "
                f"{self._config.timeout_s:g} s; free now: {ray.available_resources()}"
            )

    def _start(self, bundle: int, models: tuple[str, ...]) -> Any:
        on_gpu = self._config.actor_gpus > 0
        hidden = {} if on_gpu else {"env_vars": {"CUDA_VISIBLE_DEVICES": ""}}
        options = TaskActor.options(
            num_cpus=self._config.actor_cpus,
            num_gpus=self._config.actor_gpus,
            max_restarts=self._config.max_restarts,
            max_task_retries=-1,  # a node that is lost costs several, until Ray knows of it
            runtime_env=hidden,
            scheduling_strategy=PlacementGroupSchedulingStrategy(self._group, bundle),
        )
        device = "cuda:0" if on_gpu else "cpu"
        return options.remote(self._source, models, device=device, **self._arrays)


def answer(ref: Any, timeout_s: float, what: str) -> Any:
    """Give a worker's answer; an error of ours comes out as it was raised there.

    Raises:
        WorkerDiedError: the worker is lost for good.
        WorkerTimeoutError: there is none in time.
    """
    try:
        return ray.get(ref, timeout=timeout_s)
    except GetTimeoutError as error:
        raise WorkerTimeoutError(
            f"{what}: no answer in {timeout_s:g} s (ray.timeout_s); a lost actor may wait for "
            f"resources that nobody has; free now: {ray.available_resources()}"
        ) from error
    except ActorDiedError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise WorkerDiedError(f"{what}: the actor is lost: {reason}") from error
    except RayTaskError as error:
        raise error.cause from error
    except RayError as error:
        reason = str(error).strip().splitlines()[0]
        raise WorkerDiedError(f"{what}: lost ({type(error).__name__}: {reason})") from error
