"""Solve a method's problems: Adam, a guard against divergence, an early stop, the best step."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from distmerge.errors import DivergenceError
from distmerge.methods.contract import Problem


class Progress(NamedTuple):
    """Where an optimisation stands."""

    problem: str
    step: int
    steps: int
    loss: float


class Solved(NamedTuple):
    """How an optimisation went."""

    steps: int
    """Steps that were done."""
    kept: int
    """After how many of them the parameters are as they were left."""


def optimise(problem: Problem, observe: Callable[[Progress], None]) -> Solved:
    """Minimise ``problem`` in place.

    Adam with betas (0.9, 0.999), eps 1e-8 and no weight decay. With ``keep="best"`` or
    ``patience`` the score is taken before the first step and every ``check_every`` steps. After
    ``patience`` checks without a higher score no step follows. With ``keep="best"`` the score is
    taken after the last step as well, and the parameters with the highest one are put back; of
    equal scores the later wins.

    Raises:
        DivergenceError: a loss or a parameter is not finite.
    """
    optimizer = torch.optim.Adam(_groups(problem))
    checks, step = _Checks(problem), 0
    while step < problem.steps and not checks.stop(step):
        optimizer.zero_grad()
        loss = problem.backward(step)
        optimizer.step()
        with torch.no_grad():
            problem.project()
        _refuse_divergence(problem, step, loss)
        step += 1
        observe(Progress(problem.name, step, problem.steps, loss))
    return Solved(step, checks.finish(step))


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


class _Checks:
    """Takes the score, and remembers the parameters with the highest one."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._best = float("-inf")
        self._parameters: tuple[Tensor, ...] = ()
        self._kept = self._checked = -1
        self._without_rise = 0

    def stop(self, step: int) -> bool:
        """Check if a check is due; give whether the score has not risen for too many."""
        checks = self._problem.checks
        if step % checks.check_every or (checks.keep == "last" and not checks.patience):
            return False
        self._check(step)
        return 0 < checks.patience <= self._without_rise

    def _check(self, step: int) -> None:
        score, self._checked = self._problem.score(), step
        self._without_rise = 0 if score > self._best else self._without_rise + 1
        if score >= self._best:
            self._best, self._kept = score, step
            self._parameters = tuple(p.detach().clone() for p in self._problem.parameters)

    def finish(self, step: int) -> int:
        """Put the best parameters back if they are wanted; give the step that they are of."""
        if self._problem.checks.keep == "last":
            return step
        if self._checked != step:
            self._check(step)
        with torch.no_grad():
            for parameter, value in zip(self._problem.parameters, self._parameters, strict=True):
                parameter.copy_(value)
        return self._kept
