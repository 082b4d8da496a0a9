"""Where unfinished runs leave what they need to go on, and tell where they stand."""

from typing import Protocol, runtime_checkable

from distmerge.coordinator import Progress
from distmerge.spec import RunConfig
from distmerge.sweep.progress.steps import Told
from distmerge.sweep.search.rungs import Seen
from distmerge.sweep.search.unfinished import Unfinished


@runtime_checkable
class States(Protocol):
    """Where the states of unfinished runs lie."""

    def read_state(self, run_id: str) -> bytes:
        """Give what an earlier attempt left; nothing if there is none."""
        ...

    def write_state(self, run_id: str, content: bytes) -> None:
        """Keep a run's state, in place of an older one."""
        ...

    def begin(self, run_id: str, config: RunConfig) -> Unfinished:
        """Note that a run is in progress; give what is known of it from earlier attempts."""
        ...

    def stays(self, run_id: str, seen: Seen) -> bool:
        """Keep a run's scores at rungs; give whether it goes on from the last one."""
        ...

    def tell(self, told: Told) -> bool:
        """Take where a run stands; give whether it is to save its state and end."""
        ...


def unobserved(_progress: Progress) -> None:
    """Show nothing."""


def untold(_told: Told) -> bool:
    """Tell nobody, and go on."""
    return False
