"""What one search asks for next: one Optuna study, asked and told. Knows no Ray."""

import itertools
import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import optuna
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import TrialState

from distmerge.errors import ConfigError, problem_list
from distmerge.spec import (
    AnyOf,
    Choice,
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
from distmerge.sweep.search.current import Identify
from distmerge.sweep.search.history import PastRun
from distmerge.sweep.search.rungs import Seen
from distmerge.sweep.search.samplers import drawn, inside, may_suggest, sampler
from distmerge.sweep.search.seeds import other_seeds

_TRIES, _INFORMED = 20, 10  # draws until one is not known yet; later ones are at random
_BEST, _LATEST = 50, 100  # what TPE remembers of a long search: trial 1,000 costs as 200 does
_FORGET = 25  # trials between two looks at what is forgotten
_METHOD = "method"
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
        self._known: dict[str, str] = {}  # by run id, the pipeline
        self._scored: dict[str, tuple[float, RunConfig]] = {}
        self.warm = 0
        """How many runs of earlier studies it learns from."""
        self.unmade = 0
        """How many trials were given up, since no configuration was found that is not known."""
        self._repeated = {run.run_id for run in past if not (run.warm or run.unfinished)}
        own = [run for run in past if run.config.name in self._pipelines]
        for run in own:
            if not run.unfinished:
                self._recall(run)
        self._budget = self._checked_budget()
        self._trials = max(0, self._budget - len(self._known))
        left = [run for run in own if run.unfinished and run.run_id not in self._known]
        unfinished = [run.config for run in left]
        self._queue = deque(self._first(unfinished))
        self.again = min(self._trials, sum(map(self._is_todays, unfinished)))
        """How many runs that are to go on it asks for first."""

    @property
    def name(self) -> str:
        """The pipelines' names."""
        return self._entry.name

    @property
    def remaining(self) -> int:
        """How many runs are still to be asked for; at most, where the best is not known yet."""
        if not (self._trials or self._open):
            return len(self._repeats())
        seeds = (len(other_seeds(self._of, p)) for p in self._pipelines.values())
        return self._trials + max(seeds)

    def ask(self) -> tuple[int | None, RunConfig, str] | None:
        """Give trial number, run and run id of something not run yet."""
        if self._trials and (trial := self._ask_trial()) is not None:
            return trial
        return None if self._open else self._ask_repeat()

    def tell(self, number: int, score: float | None, cost: float, rungs: Seen) -> None:
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
                self._known[run_id] = config.name
                self._asked += 1
                self._open[self._asked] = _Open(trial, config, run_id)
                return self._asked, config, run_id
            self._study.tell(trial, state=TrialState.FAIL)
        self.unmade, self._trials = 1 + self._trials, 0
        return None

    def _draw(self, attempt: int) -> tuple[optuna.Trial, RunConfig]:
        """Give a new trial; a sampler that starts anew must not repeat its first draws."""
        drawing = [self._of.seed, self._entry.name, len(self._known), attempt]
        name: Sampler = self._of.sampler if attempt < _INFORMED else "random"
        self._study.sampler = self._sampler(name, drawing)
        left = self._with_points_left()
        if attempt == _TRIES - 1 and math.isfinite(self._size):
            self._queue.extend(itertools.islice(self._unknown(self._points()), 1))
        elif attempt and not self._queue and len(left) < len(self._spaces):
            self._queue.append({_METHOD: left[int(digest(drawing), 16) % len(left)]})
        if self._queue:
            self._study.enqueue_trial(self._queue.popleft())
        return self._suggest(self._study.ask())

    def _with_points_left(self) -> list[str]:
        """Give the pipelines that are not used up; Optuna's own choice is always among all."""
        known = Counter(self._known.values())
        return [name for name, space in self._spaces.items() if known[name] < num_points(space)]

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

    def _close(self, trial: optuna.Trial, score: float | None, cost: float, rungs: Seen) -> None:
        """End an Optuna trial."""
        if len(self._of.objectives) == 1:  # Optuna takes intermediate scores of no other study
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
        config = run.config
        if not run.warm:
            if config.seed != self._of.seed:
                return
            self._note(run.run_id, config, run.score)
        if self._is_todays(config) or (run.warm and inside(self._spaces[config.name], config)):
            self._replay(run, self._searched(config))

    def _searched(self, config: RunConfig) -> dict[str, Value]:
        """Give what today's search varies of a run."""
        values = config.values()
        return {key: values[key] for key in self._spaces[config.name]}

    def _is_todays(self, config: RunConfig) -> bool:
        """Whether today's search may suggest exactly this run."""
        if config.seed != self._of.seed:
            return False
        name = config.name
        return may_suggest(self._pipelines[name], self._spaces[name], config, self._hypers)

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
            self._known[run.run_id] = run.config.name
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

    def _first(self, unfinished: Iterable[RunConfig]) -> Iterator[dict[str, Value]]:
        """Yield what is asked for before anything is drawn.

        That is what is to go on, then the defaults, and all of a finite space.
        """
        defaults = (self._config(name, {}) for name in self._pipelines)
        grid = self._of.sampler == "grid"
        points = self._points() if self._budget == self._size else ()
        return self._unknown(itertools.chain(unfinished, () if grid else defaults, points))

    def _points(self) -> Iterator[RunConfig]:
        for name, space in self._spaces.items():
            for values in all_points(space):
                yield self._config(name, values)

    def _unknown(self, configs: Iterable[RunConfig]) -> Iterator[dict[str, Value]]:
        """Yield those that today's search may suggest and are new, once, as Optuna takes them."""
        seen = set(self._known)
        for config in configs:
            run_id = self._identify(config)
            if self._is_todays(config) and run_id not in seen:
                seen.add(run_id)
                yield {_METHOD: config.name, **self._searched(config)}
