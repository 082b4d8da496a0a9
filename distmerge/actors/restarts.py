"""Which actors were lost and came back."""

from collections.abc import Sequence

import ray
from ray.exceptions import RayError

from distmerge.actors.pool import Member
from distmerge.coordinator import WorkerInfo

_ANSWER_S = 2.0


def restarted(members: Sequence[Member], infos: Sequence[WorkerInfo]) -> list[WorkerInfo]:
    """Give what the actors are now whose process is another than that of ``infos``.

    One that does not answer at once, as while it starts again, is not waited for.
    """
    asked = [member.actor.info.remote() for member in members]
    ready, _ = ray.wait(asked, num_returns=len(asked), timeout=_ANSWER_S)
    try:
        now: list[WorkerInfo] = ray.get(ready)
    except RayError:  # one is lost for good; whoever needs it says so
        return []
    known = {info.pid for info in infos}
    return [info for info in now if info.pid not in known]
