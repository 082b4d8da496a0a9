"""The port to the individual models, on Ray."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import ray
import torch
from ray.exceptions import RayError

from distmerge.actors.features import FeatureBank
from distmerge.actors.pool import LOOK_S, Member, answer, late
from distmerge.coordinator import Asked, FeatureKey, drawn_teachers, keys_by_name
from distmerge.errors import WorkerTimeoutError
from distmerge.methods.contract import Draw, Facts, Gradient, Point
from distmerge.methods.losses import BatchLoss
from distmerge.tasks import Role


@dataclass
class Roster:
    """The task actors as a trial knows them, which may change while it runs."""

    members: tuple[Member, ...]
    ask: Callable[[], Any] | None = None
    """Asks the driver for them; gives the reference to the answer. None: they do not change."""
    _asked: Any = None
    _asked_at: float = field(default_factory=time.monotonic)

    def look(self) -> tuple[Member, ...]:
        """Give the actors by the last answer, and ask anew if it is old; nobody waits."""
        if self._asked is not None and ray.wait([self._asked], timeout=0)[0]:
            with suppress(RayError):  # who knows them is being started anew
                self.members = ray.get(self._asked) or self.members
            self._asked = None
        now = time.monotonic()
        if self.ask and self._asked is None and now - self._asked_at > LOOK_S:
            self._asked, self._asked_at = self.ask(), now
        return self.members


@dataclass(frozen=True)
class RayModels:
    """Facts from the driver's bank, gradients from the task actors in parallel."""

    bank: FeatureBank
    roster: Roster
    tasks: tuple[str, ...]
    timeout_s: float

    def facts(self, model: str, task: str, role: Role) -> Facts:
        """Give what ``model`` says about a task's images."""
        return self.bank[self._keys[model, task, role]]

    @cached_property
    def _keys(self) -> dict[tuple[str, str, Role], FeatureKey]:
        return keys_by_name(self.bank)

    def gradient(self, point: Point, draw: Draw, loss: BatchLoss) -> Gradient:
        """Give the sums over actors, each of which handles the tasks that it pins.

        Partial sums are added in float64 and in a fixed order, so the answer does not depend on
        which actor is first; the number of actors changes it by rounding alone. What a lost actor
        was asked is asked again of those that took its models over.

        Raises:
            DivergenceError: a loss is not finite.
            WorkerTimeoutError: an actor does not answer in time.
        """
        tasks = draw.tasks or self.tasks
        teachers = drawn_teachers(lambda task: self.facts(task, task, "adapt"), tasks, draw)
        asked = ray.put(Asked.of(point, draw, loss, teachers))  # packed once

        def ask(member: Member, share: tuple[str, ...]) -> Any:
            own = {task: named for task, named in point.own.items() if task in share}
            return member.actor.gradient.remote(asked, share, own)

        parts = self._answers(tasks, ask)
        return Gradient(
            sum(part.loss for part in parts),
            torch.stack([part.coefficients for part in parts]).sum(dim=0),
            {task: named for part in parts for task, named in part.own.items()},
        )

    def _answers(
        self, tasks: Sequence[str], ask: Callable[[Member, tuple[str, ...]], Any]
    ) -> list[Gradient]:
        """Give the parts of all tasks, those of the first tasks first.

        Raises:
            WorkerTimeoutError: one does not come in time.
        """
        calls = _asked(self.roster.look(), tasks, ask)
        end = time.monotonic() + self.timeout_s
        while waiting := ray.wait([*calls], num_returns=len(calls), timeout=LOOK_S)[1]:
            if time.monotonic() > end:
                what = f"gradient of {[*calls[waiting[0]][1]]}"
                raise WorkerTimeoutError(late(what, self.timeout_s))
            members = self.roster.look()
            there = [member.actor for member in members]
            for call in waiting:
                member, share = calls[call]
                if member.actor not in there:
                    ray.cancel(call)
                    del calls[call]
                    calls |= _asked(members, share, ask)
        ordered = sorted(calls.items(), key=lambda item: tasks.index(item[1][1][0]))
        wait_s = self.timeout_s
        return [answer(call, wait_s, f"gradient of {[*share]}") for call, (_, share) in ordered]


_Calls: TypeAlias = dict[Any, tuple[Member, tuple[str, ...]]]


def _asked(
    members: Sequence[Member],
    tasks: Sequence[str],
    ask: Callable[[Member, tuple[str, ...]], Any],
) -> _Calls:
    """Ask every actor for the gradient of those tasks that it pins."""
    calls: _Calls = {}
    for member in members:
        if share := tuple(task for task in tasks if task in member.models):
            calls[ask(member, share)] = member, share
    return calls
