"""A run's state as a file, so that an interrupted run goes on where it was."""

import json
import math
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import NamedTuple, Protocol, runtime_checkable

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from distmerge.errors import CheckpointError
from distmerge.tensorfiles import header_of

State = Mapping[str, Tensor]
"""Where a problem stands, as named tensors."""


class Solved(NamedTuple):
    """How an optimisation went."""

    steps: int
    """Steps that were done."""
    kept: int
    """After how many of them the parameters are as they were left."""


class Part(NamedTuple):
    """One problem's share of a run's state; the last one may not be solved yet."""

    problem: str
    state: State
    solved: Solved | None


@runtime_checkable
class RunState(Protocol):
    """What an optimisation needs of a run's state."""

    def stored(self, problem: str) -> Part | None:
        """Give what an earlier attempt left of the next problem."""

    def follow(self, current: Callable[[], Part | None]) -> None:
        """Take how to see where the problem in progress stands; None while a step is half done."""

    def solve(self, part: Part) -> None:
        """Take a solved problem."""

    def stepped(self) -> None:
        """Save the state if it is time to."""


class Checkpoint:
    """A run's state: what an earlier attempt left, and what this one leaves.

    A context manager around a run: when that is interrupted, the state is saved.

    Args:
        stored: the file that an earlier attempt left, empty if there is none.
        save: writes the file, whole or not at all.
        every_s: seconds between two saves; None: no state is saved.

    Raises:
        CheckpointError: the stored file is not one of ours.
    """

    def __init__(
        self, stored: bytes, save: Callable[[bytes], object], every_s: float | None
    ) -> None:
        self._stored, self._earlier_s = _read(stored) if stored else ((), 0.0)
        self._save, self._every_s = save, math.inf if every_s is None else every_s
        self._solved: list[Part] = []
        self._current: Callable[[], Part | None] = lambda: None
        self._written = len(self._stored)
        self._start = self._saved = time.monotonic()

    @classmethod
    def none(cls) -> "Checkpoint":
        """Give one that nothing is read from and nothing is saved to."""
        return cls(b"", lambda _: None, None)

    @property
    def wall_s(self) -> float:
        """Seconds that the run took up to now, earlier attempts included."""
        return self._earlier_s + time.monotonic() - self._start

    def stored(self, problem: str) -> Part | None:
        """Give what an earlier attempt left of the next problem.

        Raises:
            CheckpointError: it left something of another problem.
        """
        number = len(self._solved)
        if number >= len(self._stored):
            return None
        part = self._stored[number]
        if part.problem != problem:
            raise CheckpointError(misfit(f"problem {number} is {part.problem}, expected {problem}"))
        return part

    def follow(self, current: Callable[[], Part | None]) -> None:
        """Take how to see where the problem in progress stands; None while a step is half done."""
        self._current = current

    def solve(self, part: Part) -> None:
        """Take a solved problem."""
        self._current = lambda: None  # first: an interrupt must not find the problem in both
        self._solved.append(part)
        self.stepped()

    def stepped(self) -> None:
        """Save the state if it is time to.

        Raises:
            ResultsError: the state cannot be written.
        """
        if time.monotonic() - self._saved >= self._every_s:
            self._write()

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Save the state of a run that is interrupted, as by Ctrl-C."""
        if isinstance(error, KeyboardInterrupt) and self._every_s < math.inf:
            self._write()

    def _write(self) -> None:
        current = self._current()
        parts = [*self._solved, *([current] if current else [])]
        if len(parts) >= self._written:  # else the file knows more, as after half a step
            self._save(_file(parts, self.wall_s))
            self._written = len(parts)
        self._saved = time.monotonic()


def misfit(what: str) -> str:
    """Give the message about a stored state that is not one of the run that is to go on."""
    return (
        f"the stored state of an interrupted run does not fit it: {what}; it was left by other "
        "code; remove it (_runs/STUDY/RUN.safetensors in the storage) to do the run from its start"
    )


def _file(parts: list[Part], wall_s: float) -> bytes:
    tensors = {
        f"{number}.{name}": _copied(tensor)
        for number, part in enumerate(parts)
        for name, tensor in part.state.items()
    }
    problems = [[part.problem, part.solved] for part in parts]
    content: bytes = safetensors.torch.save(
        tensors, {"problems": json.dumps(problems), "wall_s": repr(wall_s)}
    )
    return content


def _copied(tensor: Tensor) -> Tensor:
    """Give the tensor in memory of its own, as the format wants it."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _read(content: bytes) -> tuple[tuple[Part, ...], float]:
    try:
        tensors = safetensors.torch.load(content)
        metadata = header_of(content)[0]["__metadata__"]
        problems, wall_s = json.loads(metadata["problems"]), float(metadata["wall_s"])
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(misfit(f"no state can be read from it ({error})")) from error
    parts = tuple(
        Part(problem, _part(tensors, f"{number}."), solved and Solved(*solved))
        for number, (problem, solved) in enumerate(problems)
    )
    return parts, wall_s


def _part(tensors: State, prefix: str) -> State:
    return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
