"""From a study's pipelines to the configuration of one run."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from distmerge.errors import ConfigError, problem_list
from distmerge.spec.hyper import Choice, Distribution, Hyper, IntUniform, Value
from distmerge.spec.study import Pipeline


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


def pipeline_problems(pipeline: Pipeline, hypers: Mapping[str, type[Hyper]]) -> Iterator[str]:
    """Yield what is wrong with a pipeline's stages and settings, one line each."""
    yield from _stage_problems(pipeline, hypers)
    for key, setting in pipeline.settings.items():
        method, _, field = key.partition(".")
        if method not in pipeline.stages:
            yield f"settings: {key!r} is for no stage of {pipeline.name}; write METHOD.FIELD"
        elif method in hypers:
            yield from _setting_problems(hypers[method], key, field, setting)


def _stage_problems(pipeline: Pipeline, hypers: Mapping[str, type[Hyper]]) -> Iterator[str]:
    for method in dict.fromkeys(pipeline.stages):
        if method not in hypers:
            yield f"stages: unknown method {method!r}; known: {', '.join(sorted(hypers))}"
        elif pipeline.stages.count(method) > 1:
            yield f"stages: {method!r} appears twice; a method is run once in a pipeline"
    for i, method in enumerate(pipeline.stages):
        if method in hypers and (hypers[method].role == "merge") != (i == 0):
            place = "cannot follow another method" if i else "cannot stand first: it needs a merge"
            yield f"stages: {method!r} {place}; a pipeline is one merge, then corrections"


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
