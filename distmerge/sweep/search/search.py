"""What to run next: every pipeline's search, asked in turn. Knows no Ray."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from distmerge.spec import Hyper, RunConfig, Study
from distmerge.sweep.search.current import Identify
from distmerge.sweep.search.history import PastRun
from distmerge.sweep.search.pipeline_search import PipelineSearch

NO_RUNGS: Mapping[int, float] = MappingProxyType({})


class Suggestion(NamedTuple):
    """A run to do, and where its score is to be told."""

    pipeline: int
    number: int | None
    """Optuna's trial; None for a repeat, which no search is told of."""
    config: RunConfig
    run_id: str


class Search:
    """Asks every pipeline in turn: first all defaults, then what Optuna suggests.

    Once a pipeline's trials have all been told, its best configuration is asked for with the other
    seeds, while other pipelines still search. A run in progress is never waited for: the next
    trial is suggested without it.

    With one run at a time a seed always gives the same runs, interrupted or not; several at a time
    end in an order of their own, and what is suggested follows it.

    Finished runs count towards a pipeline's trials and inform its sampler, and runs that were
    interrupted or failed are asked for first, so a study that is started again goes on where it
    stopped; the state of the search is the results dataset.

    Raises:
        ConfigError: a grid is asked for and a range has no end of points.
    """

    def __init__(
        self,
        study: Study,
        hypers: Mapping[str, type[Hyper]],
        identify: Identify,
        past: Sequence[PastRun],
    ) -> None:
        self._searches = [
            PipelineSearch(entry, study, hypers, identify, past) for entry in study.pipelines
        ]
        again = (i for i, search in enumerate(self._searches) for _ in range(search.again))
        self._order = itertools.chain(again, self._turns())

    @property
    def remaining(self) -> int:
        """How many runs are still to be asked for; at most, where a best one is not known yet."""
        return sum(search.remaining for search in self._searches)

    @property
    def warm(self) -> int:
        """How many runs of earlier studies it learns from."""
        return sum(search.warm for search in self._searches)

    def ask(self) -> Suggestion | None:
        """Give the next run; None if there is none, or none before a run in progress is told."""
        for index in itertools.islice(self._order, len(self._searches)):
            found = self._searches[index].ask()
            if found is not None:
                return Suggestion(index, *found)
        return None

    def tell(
        self,
        suggestion: Suggestion,
        score: float | None,
        cost: float = 0.0,
        rungs: Mapping[int, float] = NO_RUNGS,
    ) -> None:
        """Take how a run ended: with a score, early at the last of ``rungs``, or with neither.

        Args:
            suggestion: the run.
            score: on the select images; None for a run that failed or was ended early.
            cost: adapt images drawn.
            rungs: label-free scores by step, of a run that did not fail.
        """
        if suggestion.number is not None:
            self._searches[suggestion.pipeline].tell(suggestion.number, score, cost, rungs)

    def gaps(self) -> Iterator[str]:
        """Yield the pipelines whose trials were not all made, one line each."""
        for search in self._searches:
            if search.unmade:
                yield (
                    f"{search.name}: {search.unmade} trials were not made: no configuration was "
                    "found that is not run yet; widen a range, or ask for fewer trials"
                )

    def _turns(self) -> Iterator[int]:
        while self.remaining:
            yield from (i for i, search in enumerate(self._searches) if search.remaining)
