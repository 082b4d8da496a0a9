"""What to run next: one Optuna study per pipeline, asked in turn. Knows no Ray."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import optuna
import pandas as pd
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState

from distmerge.evaluation import score_metric
from distmerge.spec import (
    Choice,
    Distribution,
    Hyper,
    IntUniform,
    LogUniform,
    Pipeline,
    RunConfig,
    Study,
    Value,
    digest,
    run_config,
    search_space,
)

_TRIES = 20  # how often an already known configuration may be suggested again
Identify = Callable[[RunConfig], str]


class Suggestion(NamedTuple):
    """A run to do, and where its score is to be told."""

    pipeline: int
    number: int
    config: RunConfig
    run_id: str


class Search:
    """Asks every pipeline in turn: first all defaults, then what Optuna suggests.

    Finished runs count towards a pipeline's trials and inform its sampler, so a study that is
    started again goes on where it stopped; the state of the search is the results dataset.
    """

    def __init__(
        self,
        study: Study,
        hypers: Mapping[str, type[Hyper]],
        identify: Identify,
        finished: pd.DataFrame,
    ) -> None:
        self._searches = [
            _PipelineSearch(pipeline, study, hypers, identify, finished)
            for pipeline in study.pipelines
        ]
        self._order = self._turns()
        self._open = 0

    @property
    def remaining(self) -> int:
        """How many runs are still to be asked for."""
        return int(sum(search.remaining for search in self._searches))

    @property
    def unfinished(self) -> int:
        """How many runs are still to be asked for, or were asked for and not told of."""
        return self.remaining + self._open

    def ask(self) -> Suggestion | None:
        """Give the next run, or None when every pipeline has had its trials."""
        for index in self._order:
            found = self._searches[index].ask()
            if found is not None:
                self._open += 1
                return Suggestion(index, *found)
        return None

    def tell(self, suggestion: Suggestion, score: float | None) -> None:
        """Take a run's score; None for a run that failed."""
        self._open -= 1
        self._searches[suggestion.pipeline].tell(suggestion.number, score)

    def _turns(self) -> Iterator[int]:
        while self.remaining:
            yield from (i for i, search in enumerate(self._searches) if search.remaining)


class _PipelineSearch:
    def __init__(
        self,
        pipeline: Pipeline,
        study: Study,
        hypers: Mapping[str, type[Hyper]],
        identify: Identify,
        finished: pd.DataFrame,
    ) -> None:
        self._pipeline, self._seed = pipeline, study.seed
        self._hypers, self._identify = hypers, identify
        self._metric = score_metric(study.select)
        self._ranges = search_space(pipeline, hypers)
        self._space = {key: _optuna(range_) for key, range_ in self._ranges.items()}
        self._study = optuna.create_study(direction="maximize")
        self._known = self._recall(finished)
        # A sampler that starts again must not repeat its first draws.
        own = [study.seed, pipeline.name, len(self._known)]
        self._study.sampler = _sampler(study.sampler, int(digest(own), 16) % 2**32)
        budget = int(min(pipeline.trials, _size(self._ranges)))
        self.remaining = max(0, budget - len(self._known))
        self._enqueue_defaults()
        if budget == _size(self._ranges):
            self._enqueue_all()

    def ask(self) -> tuple[int, RunConfig, str] | None:
        """Give trial number, run and run id of something not run yet."""
        self.remaining -= 1
        for _ in range(_TRIES):
            trial = self._study.ask(self._space)
            config = self._config(trial.params)
            run_id = self._identify(config)
            if run_id not in self._known:
                self._known[run_id] = None
                return trial.number, config, run_id
            self.tell(trial.number, self._known[run_id])
        self.remaining = 0  # a finite space that is used up
        return None

    def tell(self, number: int, score: float | None) -> None:
        trial = self._study.trials[number]
        state = TrialState.FAIL if score is None else TrialState.COMPLETE
        self._study.tell(number, score, state=state)
        if score is not None:
            self._known[self._identify(self._config(trial.params))] = score

    def _config(self, values: Mapping[str, Value]) -> RunConfig:
        return run_config(self._pipeline, values, self._seed, self._hypers)

    def _recall(self, finished: pd.DataFrame) -> dict[str, float | None]:
        """Tell the sampler the scores of earlier runs of exactly this pipeline and its inputs."""
        known: dict[str, float | None] = {}
        rows = finished[
            (finished["method"] == self._pipeline.name)
            & (finished["suite"] == "select")
            & (finished["metric"] == self._metric)
        ]
        for row in rows.to_dict("records"):
            values = {key: _plain(row[key]) for key in self._space}
            if not self._inside(values):
                continue
            run_id = self._identify(self._config(values))
            if run_id == row["run_id"]:
                known[run_id] = row["value"]
                self._study.add_trial(
                    optuna.trial.create_trial(
                        params=values, distributions=self._space, value=row["value"]
                    )
                )
        return known

    def _enqueue_defaults(self) -> None:
        defaults = self._config({})
        values = {key: defaults.values()[key] for key in self._space}
        if self._inside(values) and self._identify(defaults) not in self._known:
            self._study.enqueue_trial(values)

    def _enqueue_all(self) -> None:
        """Ask for every point of a finite space that is to be used up."""
        choices = [range_.values for range_ in self._ranges.values() if isinstance(range_, Choice)]
        for point in itertools.product(*choices):
            self._study.enqueue_trial(
                dict(zip(self._ranges, point, strict=True)), skip_if_exists=True
            )

    def _inside(self, values: Mapping[str, Value]) -> bool:
        return all(_contains(self._ranges[key], value) for key, value in values.items())


def _contains(range_: Distribution, value: Value) -> bool:
    if isinstance(range_, Choice):
        return value in range_.values
    return not isinstance(value, str) and range_.low <= value <= range_.high


def _plain(value: object) -> Value:
    plain: Value = value.item() if hasattr(value, "item") else value  # type: ignore[assignment]  # NumPy scalars
    return plain


def _size(ranges: Mapping[str, Distribution]) -> float:
    """Give how many points a space has: one if nothing is searched, maybe infinitely many."""
    return math.prod(
        (float(len(set(r.values))) if isinstance(r, Choice) else math.inf for r in ranges.values()),
        start=1.0,
    )


def _sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed)


def _optuna(distribution: Distribution) -> BaseDistribution:
    if isinstance(distribution, Choice):
        return CategoricalDistribution(distribution.values)
    if isinstance(distribution, IntUniform):
        return IntDistribution(distribution.low, distribution.high)
    log = isinstance(distribution, LogUniform)
    return FloatDistribution(distribution.low, distribution.high, log=log)
