"""What one search asks for next: one Optuna study, asked and told. Knows no Ray."""

import itertools
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import optuna
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import TrialState

from distmerge.errors import ConfigError, problem_list
from distmerge.spec import (
    AnyOf,
    Choice,
    Distribution,
    Hyper,
    Pipeline,
    RunConfig,
    Sampler,
    Study,
    Value,
    all_points,
    digest,
    grid_problems,
    num_points,
    num_trials,
    run_config,
    search_space,
)
from distmerge.sweep.current import Identify
from distmerge.sweep.history import PastRun
from distmerge.sweep.samplers import drawn, sampler
from distmerge.sweep.seeds import other_seeds

_TRIES = 20  # how often an already known configuration may be suggested again
_BEST, _LATEST = 50, 100  # what TPE remembers of a long search: trial 1,000 costs as 200 does
_FORGET = 25  # trials between two looks at what is forgotten
_METHOD = "method"
Rungs: TypeAlias = Mapping[int, float]
_DIRECTIONS = {"score": StudyDirection.MAXIMIZE, "cost": StudyDirection.MINIMIZE}


class _Open(NamedTuple):
    """A trial that was asked for and not told of."""

    trial: optuna.Trial
    config: RunConfig
    run_id: str


class PipelineSearch:
    """Searches one pipeline, or several of which every trial chooses one.

    What it suggests follows from the seed, the runs told of and the runs in progress, in their
    order. So a search that starts again goes on as if it had not stopped, where runs followed each
    other and none failed; runs at the same time end in an order of their own.

    Raises:
        ConfigError: a grid is asked for and a range has no end of points.
    """

    def __init__(
        self,
        entry: Pipeline | AnyOf,
        study: Study,
        hypers: Mapping[str, type[Hyper]],
        identify: Identify,
        past: Sequence[PastRun],
    ) -> None:
        self._entry, self._of, self._hypers, self._identify = entry, study, hypers, identify
        self._pipelines = {pipeline.name: pipeline for pipeline in entry.alternatives}
        self._spaces = {name: search_space(p, hypers) for name, p in self._pipelines.items()}
        self._study = self._new_study()
        self._asked = self._told = 0
        self._open: dict[int, _Open] = {}
        self._known: set[str] = set()
        self._scored: dict[str, tuple[float, RunConfig]] = {}
        self.warm = 0
        """How many runs of earlier studies it learns from."""
        self._repeated = {run.run_id for run in past if not run.warm}
        for run in past:
            if run.config.name in self._pipelines:
                self._recall(run)
        self._budget = self._checked_budget()
        self._trials = max(0, self._budget - len(self._known))
        self._queue = deque(self._first())

    @property
    def remaining(self) -> int:
        """How many runs are still to be asked for; at most, where the best is not known yet."""
        if not (self._trials or self._open):
            return len(self._repeats())
        seeds = (len(other_seeds(self._of, p)) for p in self._pipelines.values())
        return self._trials + max(seeds)

    def ask(self) -> tuple[int | None, RunConfig, str] | None:
        """Give trial number, run and run id of something not run yet."""
        if self._trials:
            return self._ask_trial()
        return None if self._open else self._ask_repeat()

    def tell(self, number: int, score: float | None, cost: float, rungs: Rungs) -> None:
        """Take how a run ended; one without a score was ended early at a rung, or failed."""
        found = self._open.pop(number)
        self._close(found.trial, score, cost, rungs)
        self._note(found.run_id, found.config, score)

    def _ask_trial(self) -> tuple[int, RunConfig, str] | None:
        self._trials -= 1
        for number in range(_TRIES):
            trial, config = self._draw(number)
            run_id = self._identify(config)
            if run_id not in self._known:
                self._known.add(run_id)
                self._asked += 1
                self._open[self._asked] = _Open(trial, config, run_id)
                return self._asked, config, run_id
            self._study.tell(trial, state=TrialState.FAIL)
        self._trials = 0
        return None

    def _draw(self, attempt: int) -> tuple[optuna.Trial, RunConfig]:
        """Give a new trial; a sampler that starts anew must not repeat its first draws."""
        drawing = [self._of.seed, self._entry.name, len(self._known), attempt]
        self._study.sampler = self._sampler(self._of.sampler, drawing)
        if attempt == _TRIES - 1 and math.isfinite(self._size):
            self._queue.extend(itertools.islice(self._unknown(self._points()), 1))
        if self._queue:
            self._study.enqueue_trial(self._queue.popleft())
        return self._suggest(self._study.ask())

    def _sampler(self, name: Sampler, drawing: Sequence[object]) -> BaseSampler:
        seed = int(digest(drawing), 16) % 2**32
        first, *others = self._spaces.values()
        space = None if others else first
        return sampler(name, seed, trials=self._entry.trials, space=space)

    def _suggest(self, trial: optuna.Trial) -> tuple[optuna.Trial, RunConfig]:
        if self._of.sampler == "nsga2":
            assert trial.relative_params is not None  # NSGA-II numbers generations when it is asked
        names = tuple(self._pipelines)
        name = str(drawn(trial, _METHOD, Choice(names))) if len(names) > 1 else names[0]
        space = self._spaces[name]
        return trial, self._config(name, {key: drawn(trial, key, space[key]) for key in space})

    def _close(self, trial: optuna.Trial, score: float | None, cost: float, rungs: Rungs) -> None:
        """End an Optuna trial."""
        for step in sorted(rungs):
            trial.report(rungs[step], step)
        if score is None or not math.isfinite(score):
            early = score is None and rungs
            trial.study.tell(trial, state=TrialState.PRUNED if early else TrialState.FAIL)
        else:
            told = {"score": score, "cost": cost}
            trial.study.tell(trial, [told[objective] for objective in self._of.objectives])
        if trial.study is not self._study:
            self._study.add_trial(trial.study.get_trials(deepcopy=False)[trial.number])
        self._told += 1
        if self._of.sampler == "tpe" and self._told % _FORGET == 0:
            self._forget()

    def _new_study(self) -> optuna.Study:
        return optuna.create_study(directions=[_DIRECTIONS[name] for name in self._of.objectives])

    def _forget(self) -> None:
        """Go on with the best and the latest trials alone; those in progress join when told."""
        trials = self._study.get_trials(
            deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)
        )
        complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        best = sorted(complete, key=lambda trial: -trial.values[0])[:_BEST]
        kept = {trial.number for trial in (*best, *trials[-_LATEST:])}
        self._study = self._new_study()
        self._study.add_trials([trial for trial in trials if trial.number in kept])

    def _note(self, run_id: str, config: RunConfig, score: float | None) -> None:
        if score is not None and math.isfinite(score):
            self._scored[run_id] = score, config

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
        config = self._scored[best][1]
        seeds = other_seeds(self._of, self._pipelines[config.name])
        configs = [replace(config, seed=seed) for seed in seeds]
        repeats = {self._identify(config): config for config in configs}
        return {key: repeats[key] for key in repeats if key not in self._repeated}

    def _config(self, name: str, values: Mapping[str, Value]) -> RunConfig:
        return run_config(self._pipelines[name], values, self._of.seed, self._hypers)

    def _recall(self, run: PastRun) -> None:
        """Note an earlier run on these inputs; replay what lies in today's ranges."""
        config, space = run.config, self._spaces[run.config.name]
        if not run.warm:
            if config.seed != self._of.seed:
                return
            self._note(run.run_id, config, run.score)
        values = {key: config.values()[key] for key in space}
        inside = all(_contains(space[key], value) for key, value in values.items())
        if inside and (run.warm or self._config(config.name, values) == config):
            self._replay(run, values)

    def _replay(self, run: PastRun, values: Mapping[str, Value]) -> None:
        """Ask for and tell a run that was done before, as if it had been asked for now."""
        # NSGA-II has to number its generations again; of the others nothing is to be drawn.
        name: Sampler = "nsga2" if self._of.sampler == "nsga2" else "random"
        self._study.sampler = self._sampler(name, [])
        self._study.enqueue_trial({_METHOD: run.config.name, **values})
        trial, _ = self._suggest(self._study.ask())
        if run.warm:
            self.warm += 1
        else:
            self._known.add(run.run_id)
        self._close(trial, run.score, run.cost, {} if run.warm else run.rungs)

    @property
    def _size(self) -> float:
        return math.fsum(num_points(space) for space in self._spaces.values())

    def _checked_budget(self) -> int:
        budget = num_trials(self._entry, self._hypers, self._of.sampler)
        if not math.isfinite(budget):
            problems = list(grid_problems(self._entry, self._hypers))
            raise ConfigError(problem_list(self._entry.name, problems))
        return int(budget)

    def _first(self) -> Iterator[dict[str, Value]]:
        """Yield what is asked for before anything is drawn: defaults, and all of a finite space."""
        defaults = ((name, self._config(name, {})) for name in self._pipelines)
        grid = self._of.sampler == "grid"
        points = self._points() if self._budget == self._size else ()
        return self._unknown(itertools.chain(() if grid else defaults, points))

    def _points(self) -> Iterator[tuple[str, RunConfig]]:
        for name, space in self._spaces.items():
            for values in all_points(space):
                yield name, self._config(name, values)

    def _unknown(self, points: Iterable[tuple[str, RunConfig]]) -> Iterator[dict[str, Value]]:
        """Yield those that lie in today's ranges and are new, each once, as Optuna takes them."""
        seen = set(self._known)
        for name, config in points:
            values = {key: config.values()[key] for key in self._spaces[name]}
            inside = all(_contains(self._spaces[name][key], value) for key, value in values.items())
            run_id = self._identify(config)
            if inside and run_id not in seen:
                seen.add(run_id)
                yield {_METHOD: name, **values}


def _contains(range_: Distribution, value: Value) -> bool:
    if isinstance(range_, Choice):
        return value in range_.values
    return not isinstance(value, str) and range_.low <= value <= range_.high
