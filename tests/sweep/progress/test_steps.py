import math
from collections.abc import Callable

import pytest
import torch

from distmerge.coordinator import Progress
from distmerge.sweep.progress import steps as module
from distmerge.sweep.progress.steps import Point, Standing, Steps, Told

COEFFICIENTS = torch.tensor([[0.25, 0.75], [1.0, 0.0]])


def first(step: int, score: float | None = None) -> Progress:
    return Progress("first", step, 3, 0.5, score, coefficients=lambda: COEFFICIENTS)


def watching(told: list[Told], *tasks: str, halted: Callable[[], bool] = lambda: False) -> Steps:
    def tell(news: Told) -> bool:
        told.append(news)
        return halted()

    return Steps("r", "adamerging", tell, lambda _: None, tasks or None)


def test_steps_are_told_at_a_bounded_rate() -> None:
    told: list[Told] = []
    steps = watching(told)
    for step in (1, 2, 3):
        steps(first(step))
    assert told == []


def test_what_is_told_is_where_the_run_stands_and_its_last_score(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "TELL_S", 0.0)
    told: list[Told] = []
    steps = watching(told)
    steps(first(1, score=0.75))
    steps(first(2))
    standings = [news.standing for news in told]
    assert standings == [Standing("first", 1, 3, 0.75), Standing("first", 2, 3, 0.75)]
    assert {news.points for news in told} == {()}


def test_every_step_is_told_once_where_somebody_draws_it() -> None:
    told: list[Told] = []
    steps = watching(told, "alpha", "beta")
    steps(first(1))
    steps(Progress("second", 1, 2, 0.25, 0.5, before=3))
    steps.rest()
    steps.rest()
    assert told[0].standing == Standing("second", 1, 2, 0.5)
    assert [news.points for news in told] == [
        (
            Point("first", 1, 0.5, None, {"alpha": 0.5, "beta": 0.5}),
            Point("second", 4, 0.25, 0.5, {}),
        )
    ]


def test_a_run_ends_when_it_is_told_that_the_driver_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TELL_S", 0.0)
    steps = watching([], halted=lambda: True)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        steps(first(1))


def test_what_watches_sees_every_step_first() -> None:
    seen: list[int] = []
    steps = Steps("r", "m", lambda _: False, lambda progress: seen.append(progress.step), None)
    steps(Progress("first", 2, 3, math.nan))
    assert seen == [2]
