"""Solve a method's problems: Adam, a guard against divergence, and the best checked step."""

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


def optimise(problem: Problem, observe: Callable[[Progress], None]) -> None:
    """Minimise ``problem`` in place.

    Adam with betas (0.9, 0.999), eps 1e-8 and no weight decay. With ``keep="best"`` the score is
    taken before the first step, every ``check_every`` steps and after the last one, and the
    parameters with the highest score are put back at the end; of equal scores the later wins.

    Raises:
        DivergenceError: a loss or a parameter is not finite.
    """
    optimizer = torch.optim.Adam(_groups(problem))
    best = _Best(problem)
    for step in range(problem.steps):
        best.check(step)
        optimizer.zero_grad()
        loss = problem.backward(step)
        optimizer.step()
        with torch.no_grad():
            problem.project()
        _refuse_divergence(problem, step, loss)
        observe(Progress(problem.name, step + 1, problem.steps, loss))
    best.finish()


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


class _Best:
    """Remembers the parameters with the highest score."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.score = float("-inf")
        self.parameters: tuple[Tensor, ...] = ()

    def check(self, step: int) -> None:
        if self.problem.keep == "last" or step % self.problem.check_every:
            return
        self._remember()

    def _remember(self) -> None:
        score = self.problem.score()
        if score >= self.score:
            self.score = score
            self.parameters = tuple(p.detach().clone() for p in self.problem.parameters)

    def finish(self) -> None:
        if self.problem.keep == "last":
            return
        self._remember()
        with torch.no_grad():
            for parameter, value in zip(self.problem.parameters, self.parameters, strict=True):
                parameter.copy_(value)
