"""Searches over methods' own hyperparameters, told of scores that cost nothing."""

import math
from collections.abc import Callable
from typing import NamedTuple

from distmerge.methods import HYPERS
from distmerge.spec import Pipeline, RunConfig, Study, digest
from distmerge.sweep.search.history import PastRun
from distmerge.sweep.search.search import Search, Suggestion


def identify(config: RunConfig) -> str:
    return digest([config.name, sorted(config.values().items()), config.seed])


def study(*pipelines: object, **fields: object) -> Study:
    content = {"study": "s", "models": {"zoo": "tiny"}, "pipelines": pipelines}
    return Study.model_validate({**content, **fields})


def learning(trials: int, **settings: object) -> Pipeline:
    """Give a pipeline with a rate and a first coefficient to search."""
    named = {f"adamerging.{key}": value for key, value in settings.items()}
    return Pipeline(stages=("adamerging",), trials=trials, settings=named)


def search(study: Study, past: tuple[PastRun, ...] = ()) -> Search:
    return Search(study, HYPERS, identify, past)


def rate_score(suggestion: Suggestion) -> float:
    """Give a score with its best point at a rate of 0.002; other methods score less."""
    rate = suggestion.config.values().get("adamerging.lr")
    return -9.0 if rate is None else -((math.log10(float(rate)) - math.log10(0.002)) ** 2)


def asked(
    search: Search,
    score: Callable[[Suggestion], float] = rate_score,
    cost: Callable[[Suggestion], float] = lambda _: 0.0,
    most: int = 10_000,
) -> list[Suggestion]:
    """Give what is asked for, one after the other, each told of at once."""
    found: list[Suggestion] = []
    while len(found) < most and (suggestion := search.ask()) is not None:
        search.tell(suggestion, score(suggestion), cost(suggestion))
        found.append(suggestion)
    return found


def past(
    suggestions: list[Suggestion],
    score: Callable[[Suggestion], float] = rate_score,
    cost: Callable[[Suggestion], float] = lambda _: 0.0,
    *,
    warm: bool = False,
) -> tuple[PastRun, ...]:
    """Give what the results remember of runs."""
    return tuple(PastRun(s.run_id, s.config, score(s), cost(s), {}, warm) for s in suggestions)


def interrupted(suggestions: list[Suggestion]) -> tuple[PastRun, ...]:
    """Give what the storage remembers of runs that were in progress."""
    return tuple(
        PastRun(s.run_id, s.config, None, 0.0, {}, warm=False, unfinished=True) for s in suggestions
    )


class Rolling(NamedTuple):
    """Runs of a search that does several at a time."""

    ended: list[Suggestion]
    running: list[Suggestion]


def asked_together(search: Search, width: int, most: int = 10_000) -> Rolling:
    """Keep ``width`` runs in progress, of which the oldest ends, until ``most`` have ended."""
    found = Rolling([], [])
    while len(found.ended) < most:
        while len(found.running) < width and (suggestion := search.ask()) is not None:
            found.running.append(suggestion)
        if not found.running:
            break
        oldest = found.running.pop(0)
        search.tell(oldest, rate_score(oldest))
        found.ended.append(oldest)
    while len(found.running) < width and (suggestion := search.ask()) is not None:
        found.running.append(suggestion)
    return found
