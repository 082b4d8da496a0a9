"""What to run next: one Optuna study per pipeline, asked in turn. Knows no Ray."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
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
from distmerge.sweep.current import Identify, current_config
from distmerge.sweep.seeds import other_seeds

_TRIES = 20  # how often an already known configuration may be suggested again


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
    seeds, while other pipelines still search.

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
        """How many runs are still to be asked for; at most, where a best one is not known yet."""
        return int(sum(search.remaining for search in self._searches))

    @property
    def unfinished(self) -> int:
        """How many runs are still to be asked for, or were asked for and not told of."""
        return self.remaining + self._open

    def ask(self) -> Suggestion | None:
        """Give the next run; None if there is none, or none before a run in progress is told."""
        for index in itertools.islice(self._order, len(self._searches)):
            found = self._searches[index].ask()
            if found is not None:
                self._open += 1
                return Suggestion(index, *found)
        return None

    def tell(self, suggestion: Suggestion, score: float | None) -> None:
        """Take a run's score; None for a run that failed."""
        self._open -= 1
        if suggestion.number is not None:
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
        self._seeds = other_seeds(study, pipeline)
        self._scored: dict[str, tuple[float, RunConfig]] = {}
        self._repeated = set(finished["run_id"])
        self._open = 0
        self._known: dict[str, float | None] = {}
        self._recall(finished)
        # A sampler that starts again must not repeat its first draws.
        own = [study.seed, pipeline.name, len(self._known)]
        self._study.sampler = _sampler(study.sampler, int(digest(own), 16) % 2**32)
        budget = int(min(pipeline.trials, _size(self._ranges)))
        self._trials = max(0, budget - len(self._known))
        self._enqueue_defaults()
        if budget == _size(self._ranges):
            self._enqueue_all()

    @property
    def remaining(self) -> int:
        searching = self._trials or self._open
        return self._trials + len(self._seeds if searching else self._repeats())

    def ask(self) -> tuple[int | None, RunConfig, str] | None:
        """Give trial number, run and run id of something not run yet."""
        trial = self._ask_trial() if self._trials else None
        return trial if trial or self._open else self._ask_repeat()

    def tell(self, number: int, score: float | None) -> None:
        self._open -= 1
        config = self._close(number, score)
        if score is not None:
            run_id = self._identify(config)
            self._known[run_id] = score
            self._note(run_id, config, score)

    def _ask_repeat(self) -> tuple[None, RunConfig, str] | None:
        for run_id, config in self._repeats().items():
            self._repeated.add(run_id)
            return None, config, run_id
        return None

    def _repeats(self) -> dict[str, RunConfig]:
        """Give the best configuration with the other seeds, less what is done or asked for."""
        if not self._scored:
            return {}
        # The leaderboard's choice: the highest score, then the smaller run id.
        best = min(self._scored, key=lambda run_id: (-self._scored[run_id][0], run_id))
        configs = [replace(self._scored[best][1], seed=seed) for seed in self._seeds]
        repeats = {self._identify(config): config for config in configs}
        return {key: repeats[key] for key in repeats if key not in self._repeated}

    def _ask_trial(self) -> tuple[int, RunConfig, str] | None:
        self._trials -= 1
        for _ in range(_TRIES):
            trial = self._study.ask(self._space)
            config = self._config(trial.params)
            run_id = self._identify(config)
            if run_id not in self._known:
                self._known[run_id] = None
                self._open += 1
                return trial.number, config, run_id
            self._close(trial.number, self._known[run_id])
        self._trials = 0  # a finite space that is used up
        return None

    def _close(self, number: int, score: float | None) -> RunConfig:
        """End an Optuna trial; give its configuration."""
        state = TrialState.FAIL if score is None else TrialState.COMPLETE
        self._study.tell(number, score, state=state)
        return self._config(self._study.trials[number].params)

    def _note(self, run_id: str, config: RunConfig, score: float) -> None:
        if math.isfinite(score):
            self._scored[run_id] = score, config

    def _config(self, values: Mapping[str, Value]) -> RunConfig:
        return run_config(self._pipeline, values, self._seed, self._hypers)

    def _recall(self, finished: pd.DataFrame) -> None:
        """Note the earlier runs on these inputs; tell the sampler those of just this pipeline."""
        rows = finished[
            (finished["method"] == self._pipeline.name)
            & (finished["suite"] == "select")
            & (finished["metric"] == self._metric)
        ]
        for row in rows.to_dict("records"):
            config, score = current_config(row, self._identify), row["value"]
            if config is None or config.seed != self._seed:
                continue
            self._note(row["run_id"], config, score)
            values = {key: config.values()[key] for key in self._space}
            if self._inside(values) and self._config(values) == config:
                self._known[row["run_id"]] = score
                self._study.add_trial(
                    optuna.trial.create_trial(params=values, distributions=self._space, value=score)
                )

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
