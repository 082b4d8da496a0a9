"""Optuna's view of a study: its ranges and its samplers."""

import warnings
from collections.abc import Mapping
from typing import Any, cast

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler

from distmerge.spec import (
    Choice,
    Distribution,
    Hyper,
    IntUniform,
    LogUniform,
    Pipeline,
    RunConfig,
    Sampler,
    Uniform,
    Value,
    run_config,
)


def drawn(trial: optuna.Trial, key: str, range_: Distribution) -> Value:
    """Give the value that a trial suggests for a hyperparameter."""
    match range_:
        case Choice(values):
            return cast("Value", trial.suggest_categorical(key, values))
        case IntUniform(low, high):
            return trial.suggest_int(key, low, high)
        case Uniform(low, high) | LogUniform(low, high):
            return trial.suggest_float(key, low, high, log=isinstance(range_, LogUniform))


def contains(range_: Distribution, value: Value) -> bool:
    """Whether a value lies in a range."""
    if isinstance(range_, Choice):
        return value in range_.values
    return not isinstance(value, str) and range_.low <= value <= range_.high


def inside(space: Mapping[str, Distribution], config: RunConfig) -> bool:
    """Whether what a search varies of a run lies in its ranges."""
    values = config.values()
    return all(contains(range_, values[key]) for key, range_ in space.items())


def may_suggest(
    pipeline: Pipeline,
    space: Mapping[str, Distribution],
    config: RunConfig,
    hypers: Mapping[str, type[Hyper]],
) -> bool:
    """Whether a search of a pipeline may suggest exactly this run."""
    values = config.values()
    searched = {key: values[key] for key in space}
    return inside(space, config) and run_config(pipeline, searched, config.seed, hypers) == config


def sampler(
    name: Sampler, seed: int, *, trials: int, space: Mapping[str, Distribution] | None
) -> BaseSampler:
    """Give a sampler that has drawn nothing yet.

    TPE models the parameters together, those of each alternative on their own, and takes a run in
    progress for a bad one, so that runs at the same time differ. NSGA-II has generations of a
    quarter of the trials, 4 to 50; nobody waits for the end of one.

    Args:
        name: of the sampler.
        seed: of all that it draws.
        trials: how many there will be.
        space: of every trial; None where it depends on the trial.

    Source: TPE: Bergstra et al., NeurIPS 2011; NSGA-II: Deb et al., IEEE TEC 6(2), 2002.
    """
    if name == "nsga2":
        return NSGAIISampler(population_size=max(4, min(50, trials // 4)), seed=seed)
    if name in {"random", "grid"}:
        return RandomSampler(seed=seed)
    if space is not None:
        return _KnownSpace(seed, space)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return TPESampler(seed=seed, constant_liar=True, multivariate=True, group=True)


class _KnownSpace(TPESampler):
    """TPE over a space that does not change: Optuna would look for it in every earlier trial."""

    def __init__(self, seed: int, space: Mapping[str, Distribution]) -> None:
        super().__init__(seed=seed, constant_liar=True)
        found = {key: _distribution(space[key]) for key in sorted(space)}
        self._known = {key: each for key, each in found.items() if not each.single()}

    def infer_relative_search_space(self, *_of_trials: Any) -> dict[str, BaseDistribution]:
        return self._known


def _distribution(range_: Distribution) -> BaseDistribution:
    match range_:
        case Choice(values):
            return CategoricalDistribution(values)
        case IntUniform(low, high):
            return IntDistribution(low, high)
        case Uniform(low, high) | LogUniform(low, high):
            return FloatDistribution(low, high, log=isinstance(range_, LogUniform))
