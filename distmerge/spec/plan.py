"""From a study's pipelines to the configuration of one run."""

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from distmerge.errors import ConfigError, problem_list
from distmerge.spec.hyper import Choice, Distribution, Hyper, IntUniform, Value, described
from distmerge.spec.pipeline import AnyOf, Pipeline, Sampler


@dataclass(frozen=True)
class Stage:
    """One method with its settings."""

    method: str
    hyper: Hyper


@dataclass(frozen=True)
class RunConfig:
    """Everything that a user chose for one run."""

    stages: tuple[Stage, ...]
    seed: int

    @property
    def name(self) -> str:
        """The stages joined by ``+``."""
        return "+".join(stage.method for stage in self.stages)

    def values(self) -> dict[str, Value]:
        """Give every hyperparameter as ``method.field``."""
        return {
            f"{stage.method}.{field}": value
            for stage in self.stages
            for field, value in stage.hyper.model_dump().items()
        }


def run_config(
    pipeline: Pipeline, values: Mapping[str, Value], seed: int, hypers: Mapping[str, type[Hyper]]
) -> RunConfig:
    """Give the run of ``pipeline`` with ``values`` on top of its fixed settings.

    Raises:
        ConfigError: a value is out of its bounds.
    """
    chosen = {**pipeline.fixed(), **values}
    problems: list[str] = []
    stages = []
    for method in pipeline.stages:
        own = {k.split(".", 1)[1]: v for k, v in chosen.items() if k.split(".", 1)[0] == method}
        try:
            stages.append(Stage(method, hypers[method].model_validate(own)))
        except ValidationError as error:
            problems += [
                f"{method}.{e['loc'][0] if e['loc'] else ''}: {e['msg']}, got {e['input']!r}"
                for e in error.errors()
            ]
    if problems:
        raise ConfigError(problem_list(f"pipeline {pipeline.name}", problems))
    return RunConfig(tuple(stages), seed)


def search_space(pipeline: Pipeline, hypers: Mapping[str, type[Hyper]]) -> dict[str, Distribution]:
    """Give what a search may vary: the methods' declared ranges, less what the study fixes."""
    declared = {
        f"{method}.{field}": distribution
        for method in pipeline.stages
        for field, distribution in hypers[method].search_space().items()
    }
    free = {k: v for k, v in declared.items() if k not in pipeline.fixed()}
    return {**free, **pipeline.searched()}


def num_points(space: Mapping[str, Distribution]) -> float:
    """Give how many points a space has: one if nothing is searched, maybe infinitely many."""
    found = (_points(range_) for range_ in space.values())
    return math.prod((math.inf if each is None else len(each) for each in found), start=1.0)


def all_points(space: Mapping[str, Distribution]) -> Iterator[dict[str, Value]]:
    """Yield every point of a finite space; the last key varies fastest."""
    values = [_points(range_) or () for range_ in space.values()]
    return (dict(zip(space, point, strict=True)) for point in itertools.product(*values))


def num_trials(
    entry: Pipeline | AnyOf, hypers: Mapping[str, type[Hyper]], sampler: Sampler
) -> float:
    """Give how many runs a search may spend: of a grid, all; of a finite space, no more."""
    size = math.fsum(num_points(search_space(each, hypers)) for each in entry.alternatives)
    return size if sampler == "grid" else min(float(entry.trials), size)


def _points(range_: Distribution) -> Sequence[Value] | None:
    """Give the values of a range that has finitely many."""
    if isinstance(range_, Choice):
        return tuple(dict.fromkeys(range_.values))
    return range(range_.low, range_.high + 1) if isinstance(range_, IntUniform) else None


def grid_problems(entry: Pipeline | AnyOf, hypers: Mapping[str, type[Hyper]]) -> Iterator[str]:
    """Yield what keeps a search from being a grid, one line each."""
    spaces = [search_space(each, hypers) for each in entry.alternatives]
    endless = {k: r for space in spaces for k, r in space.items() if _points(r) is None}
    for key, range_ in endless.items():
        yield (
            f"settings.{key}: {described(range_)}, is no finite set, which sampler: grid needs; "
            "add points: N to the range, give a choice, or fix it"
        )
    size = num_trials(entry, hypers, "grid")
    if not endless and entry.trials not in {1, size}:
        yield f"trials: got {entry.trials}; the grid has {size:g} points and runs them all"


def pipeline_problems(entry: Pipeline | AnyOf, hypers: Mapping[str, type[Hyper]]) -> Iterator[str]:
    """Yield what is wrong with stages and settings of what shares a search, one line each."""
    for j, pipeline in enumerate(entry.alternatives):
        for problem in _stage_problems(pipeline, hypers):
            yield f"any_of.{j}: {problem}" if isinstance(entry, AnyOf) else f"stages: {problem}"
    stages = {stage for pipeline in entry.alternatives for stage in pipeline.stages}
    for key, setting in entry.settings.items():
        method, _, field = key.partition(".")
        if method not in stages:
            yield f"settings: {key!r} is for no stage of {entry.name}; write METHOD.FIELD"
        elif method in hypers:
            yield from _setting_problems(hypers[method], key, field, setting)


def _stage_problems(pipeline: Pipeline, hypers: Mapping[str, type[Hyper]]) -> Iterator[str]:
    for method in dict.fromkeys(pipeline.stages):
        if method not in hypers:
            yield f"unknown method {method!r}; known: {', '.join(sorted(hypers))}"
        elif pipeline.stages.count(method) > 1:
            yield f"{method!r} appears twice; a method is run once in a pipeline"
    for i, method in enumerate(pipeline.stages):
        if method in hypers and (hypers[method].role == "merge") != (i == 0):
            place = "cannot follow another method" if i else "cannot stand first: it needs a merge"
            yield f"{method!r} {place}; a pipeline is one merge, then corrections"


def _setting_problems(
    hyper: type[Hyper], key: str, field: str, setting: Value | Distribution
) -> Iterator[str]:
    if field not in hyper.model_fields:
        known = ", ".join(hyper.model_fields) or "none"
        yield f"settings.{key}: no such field; fields: {known}"
        return
    for value in _examples(setting):
        try:
            hyper.model_validate({field: value})
        except ValidationError as error:
            yield f"settings.{key}: {error.errors()[0]['msg']}, got {value!r}"
            return


def _examples(setting: Value | Distribution) -> tuple[Value, ...]:
    if isinstance(setting, Choice):
        return setting.values
    if not isinstance(setting, Distribution):
        return (setting,)
    ends = (setting.low, setting.high)
    if isinstance(setting, IntUniform):
        return ends
    return (*ends, setting.low + (setting.high - setting.low) / math.pi)  # no whole number


def digest(content: Any) -> str:
    """Give 16 hexadecimal digits that identify JSON-like ``content``."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
