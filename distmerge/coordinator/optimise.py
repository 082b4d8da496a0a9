"""Solve a method's problems: Adam, a guard against divergence, an early stop, the best step."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from distmerge.coordinator.checkpoint import Checkpoint, Part, RunState, Solved, State, misfit
from distmerge.errors import CheckpointError, DivergenceError
from distmerge.methods.contract import Problem


class Progress(NamedTuple):
    """Where an optimisation stands."""

    problem: str
    step: int
    steps: int
    loss: float
    score: float | None = None
    """What the check after this step gave; None where none was due."""
    check: Callable[[], float] = lambda: math.nan
    """Takes that score now, due or not; it changes no number."""
    before: int = 0
    """Steps of the run's earlier problems."""
    coefficients: Callable[[], Tensor] | None = None
    """The problem's."""


def optimise(
    problem: Problem, observe: Callable[[Progress], None], checkpoint: RunState | None = None
) -> Solved:
    """Minimise ``problem`` in place.

    Adam with betas (0.9, 0.999), eps 1e-8 and no weight decay. With ``keep="best"`` or
    ``patience`` the score is taken before the first step and every ``check_every`` steps. After
    ``patience`` checks without a higher score no step follows. With ``keep="best"`` the score is
    taken after the last step as well, and the parameters with the highest one are put back; of
    equal scores the later wins.

    What ``checkpoint`` knows of the problem is not done again, and changes no number; the step that
    it goes on from is observed again, with no number for its loss.

    Raises:
        CheckpointError: the state in ``checkpoint`` is not one of this problem.
        DivergenceError: a loss or a parameter is not finite.
        ResultsError: the state cannot be saved.
    """
    checkpoint = checkpoint or Checkpoint.none()
    stored = checkpoint.stored(problem.name)
    if stored and stored.solved:
        _put(problem.parameters, stored.state, "parameter")
        checkpoint.solve(stored)
        return stored.solved
    work = _Optimisation(problem, stored.state if stored else None)
    checkpoint.follow(work.part)
    if work.step:  # it was saved before it was observed
        observe(work.progress(math.nan))
    while not work.ended():
        progress = work.progress(work.advance())
        checkpoint.stepped()
        observe(progress)
    solved = work.finish()
    left = _named("parameter", _clones(problem.parameters))  # a later problem may go on with them
    checkpoint.solve(Part(problem.name, left, solved))
    return solved


class _Optimisation:
    """A problem in progress: all that a step leaves to the next."""

    def __init__(self, problem: Problem, state: State | None) -> None:
        self._problem = problem
        self._adam = torch.optim.Adam(_groups(problem))
        self._checks, self.step = _Checks(problem), 0
        if state:
            try:
                self._restore(state)
            except KeyError as error:
                raise CheckpointError(misfit(f"it has no {error}")) from error
        self._memory, self._whole = _clones(problem.memory), True

    def ended(self) -> bool:
        """Whether no step follows; a check that is due comes first."""
        last = self.step >= self._problem.steps
        return self._checks.stop(self.step, last=last) or last

    def progress(self, loss: float) -> Progress:
        """Give where it stands after a step that began with ``loss``, checked if that is due."""
        self.ended()
        problem, seen = self._problem, self._checks.seen
        return Progress(
            problem.name,
            self.step,
            problem.steps,
            loss,
            seen.score if seen.step == self.step else None,
            problem.score,
            coefficients=problem.coefficients,
        )

    def advance(self) -> float:
        """Do a step; give the loss that it began with."""
        problem = self._problem
        self._adam.zero_grad()
        loss = problem.backward(self.step)
        self._whole = False
        self._adam.step()
        with torch.no_grad():
            problem.project()
        _refuse_divergence(problem, self.step, loss)
        self.step, self._memory = self.step + 1, _clones(problem.memory)
        self._whole = True
        return loss

    def finish(self) -> Solved:
        """Leave the parameters as they are to be kept."""
        return Solved(self.step, self._checks.finish(self.step))

    def part(self) -> Part | None:
        """Give all that a step leaves to the next; None while one is half done."""
        if not self._whole:
            return None
        adam = {
            f"adam.{number}.{name}": value
            for number, values in self._adam.state_dict()["state"].items()
            for name, value in values.items()
        }
        state = {
            "step": torch.tensor(self.step),
            **_named("parameter", self._problem.parameters),
            **_named("memory", self._memory),
            **adam,
            **self._checks.state(),
        }
        return Part(self._problem.name, state, None)

    def _restore(self, state: State) -> None:
        self.step = int(state["step"])
        _put(self._problem.parameters, state, "parameter")
        _put(self._problem.memory, state, "memory")
        self._checks.restore(state)
        adam: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            if key.startswith("adam."):
                _, number, name = key.split(".")
                adam.setdefault(int(number), {})[name] = value
        groups = self._adam.state_dict()["param_groups"]
        self._adam.load_state_dict({"state": adam, "param_groups": groups})


def _named(kind: str, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    return {f"{kind}.{number}": tensor for number, tensor in enumerate(tensors)}


def _clones(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(tensor.detach().clone() for tensor in tensors)


def _put(tensors: Sequence[Tensor], state: State, kind: str) -> None:
    """Give tensors the values of a state.

    Raises:
        CheckpointError: the state has none for them.
    """
    for name, tensor in _named(kind, tensors).items():
        value = state.get(name)
        if value is None or (value.shape, value.dtype) != (tensor.shape, tensor.dtype):
            got = "nothing" if value is None else f"{value.dtype} {tuple(value.shape)}"
            expected = f"{tensor.dtype} {tuple(tensor.shape)}"
            raise CheckpointError(misfit(f"{name}: got {got}, expected {expected}"))
        with torch.no_grad():
            tensor.copy_(value)


def _groups(problem: Problem) -> list[dict[str, Any]]:
    """Give each parameter its rate; one without a gradient is not moved, not even by momentum."""
    count = len(problem.parameters)
    rates = problem.lr if isinstance(problem.lr, tuple) else (problem.lr,) * count
    return [
        {"params": [parameter], "lr": rate}
        for parameter, rate in zip(problem.parameters, rates, strict=True)
    ]


def _refuse_divergence(problem: Problem, step: int, loss: float) -> None:
    finite = all(bool(torch.isfinite(p).all()) for p in problem.parameters)
    if not finite or not math.isfinite(loss):
        raise DivergenceError(
            f"{problem.name}: step {step}: loss {loss}, "
            f"parameters {'finite' if finite else 'not finite'}; a smaller learning rate may help"
        )


class _Seen(NamedTuple):
    """What the checks have seen so far."""

    step: int = -1
    """Of the last check."""
    score: float = math.nan
    """Of the last check."""
    without_rise: int = 0
    best: float = -math.inf
    kept: int = -1
    """The step with the highest score."""
    parameters: tuple[Tensor, ...] = ()
    """Those of that step."""


class _Checks:
    """Takes the score, and remembers the parameters with the highest one."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self.seen = _Seen()

    def stop(self, step: int, *, last: bool) -> bool:
        """Check if a check is due; give whether the score has not risen for too many."""
        checks = self._problem.checks
        best = checks.keep == "best"
        due = best if last else step % checks.check_every == 0 and (best or checks.patience > 0)
        if due and self.seen.step != step:
            self._check(step)
        return 0 < checks.patience <= self.seen.without_rise

    def _check(self, step: int) -> None:
        score, seen = float(self._problem.score()), self.seen
        without_rise = 0 if score > seen.best else seen.without_rise + 1
        if score >= seen.best:
            found = _Seen(step, score, without_rise, score, step, _clones(self._problem.parameters))
        else:
            found = seen._replace(step=step, score=score, without_rise=without_rise)
        self.seen = found  # at once, so that an interruption finds all of it or nothing

    def finish(self, step: int) -> int:
        """Put the best parameters back if they are wanted; give the step that they are of."""
        if self._problem.checks.keep == "last":
            return step
        _put(self._problem.parameters, _named("best", self.seen.parameters), "best")
        return self.seen.kept

    def state(self) -> dict[str, Tensor]:
        """Give what was seen."""
        seen = self.seen
        return {
            "checks.steps": torch.tensor([seen.step, seen.without_rise, seen.kept]),
            "checks.scores": torch.tensor([seen.score, seen.best], dtype=torch.float64),
            **_named("best", seen.parameters),
        }

    def restore(self, state: State) -> None:
        """Take what an earlier attempt has seen."""
        step, without_rise, kept = state["checks.steps"].tolist()
        score, best = state["checks.scores"].tolist()
        parameters = _clones(self._problem.parameters) if kept >= 0 else ()
        _put(parameters, state, "best")
        self.seen = _Seen(step, score, without_rise, best, kept, parameters)
