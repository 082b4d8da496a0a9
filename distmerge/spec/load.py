"""From a study file and command-line overrides to a checked ``Study``."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from distmerge.errors import ConfigError, problem_list
from distmerge.spec.data import BenchmarkData, RoleData, Shares, WholeData
from distmerge.spec.heads import ZeroShotHead
from distmerge.spec.hyper import Frozen, Hyper, field_path
from distmerge.spec.pipeline import AnyOf, Halving, Pipeline
from distmerge.spec.plan import grid_problems, pipeline_problems
from distmerge.spec.study import (
    ImageCounts,
    ModelFiles,
    RayConfig,
    Study,
    TaskFiles,
    ZooModels,
)

_PARTS: dict[str, tuple[type[Frozen], ...]] = {
    "": (Study,),
    "models": (ModelFiles, ZooModels),
    "models.tasks": (TaskFiles,),
    "models.tasks.data": (WholeData, RoleData, BenchmarkData),
    "models.tasks.data.shares": (Shares,),
    "models.tasks.head": (ZeroShotHead,),
    "pipelines": (Pipeline, AnyOf),
    "images": (ImageCounts,),
    "asha": (Halving,),
    "ray": (RayConfig,),
}
_KEYS = {
    key: [place for place, same in _PARTS.items() if any(key in p.model_fields for p in same)]
    for parts in _PARTS.values()
    for part in parts
    for key in part.model_fields
}
"""Of every key where it may stand; empty: at the top."""
_LISTS = {
    "tasks": "one entry per fine-tuned model to be merged",
    "pipelines": "one entry per merge to be compared, such as {stages: [ties]}",
    "stages": "names of methods, such as [ties]",
    "any_of": "the stages of each pipeline, such as [ties]",
}
"""What the entries of a list are."""


def load_study(path: Path, overrides: Sequence[str], hypers: Mapping[str, type[Hyper]]) -> Study:
    """Give the study in ``path`` with ``key=value`` overrides, checked against the known methods.

    Args:
        path: a YAML file.
        overrides: such as ``seed=1``, ``pipelines.0.trials=3`` or ``ray=false``; values are YAML.
        hypers: the hyperparameters of every known method.

    Raises:
        ConfigError: lists every wrong key, value, method and setting with its place.
    """
    return checked_study(study_content(path, overrides), str(path), hypers)


def study_content(path: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Give what a study file says with ``key=value`` overrides, unchecked.

    Raises:
        ConfigError: the file cannot be read, or an override has no place in it.
    """
    content = read_yaml(path)
    for override in overrides:
        _apply(content, override)
    return content


def checked_study(
    content: Mapping[str, Any], place: str, hypers: Mapping[str, type[Hyper]]
) -> Study:
    """Give the study of which ``content`` are the keys, checked against the known methods.

    Args:
        content: as a study file holds it.
        place: where it stands, for messages.
        hypers: the hyperparameters of every known method.

    Raises:
        ConfigError: lists every wrong key, value, method and setting with its place.
    """
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise ConfigError(problem_list(place, _problems(error))) from error
    entries = list(enumerate(study.pipelines))
    problems = [
        f"pipelines.{i}.{p}" for i, entry in entries for p in pipeline_problems(entry, hypers)
    ]
    if not problems and study.sampler == "grid":
        problems = [
            f"pipelines.{i}.{p}" for i, entry in entries for p in grid_problems(entry, hypers)
        ]
    if problems:
        raise ConfigError(problem_list(place, problems))
    return study


def read_yaml(path: Path) -> dict[str, Any]:
    """Give the mapping in a YAML file.

    Raises:
        ConfigError: the file is missing, is no YAML or holds no mapping.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the study ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: got {type(content).__name__}, expected keys and values")
    return content


def _apply(content: dict[str, Any], override: str) -> None:
    key, sign, text = override.partition("=")
    if not sign or not key:
        raise ConfigError(f"override {override!r}: expected key=value")
    head, dot, setting = key.partition(".settings.")
    path = [*head.split("."), "settings", setting] if dot else key.split(".")
    node: Any = content
    for part in path[:-1]:
        node = _step(node, part, override)
    last = path[-1]
    if isinstance(node, list):
        _step(node, last, override)
        node[int(last)] = _value(text, override)
    elif isinstance(node, dict):
        node[last] = _value(text, override)
    else:
        raise ConfigError(f"override {override!r}: there is nothing under {path[-2]!r}")


def _value(text: str, override: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"override {override!r}: {text!r} is not YAML") from error


def _step(node: Any, part: str, override: str) -> Any:
    if isinstance(node, list):
        if not part.isdecimal() or int(part) >= len(node):
            raise ConfigError(
                f"override {override!r}: {part!r} is no entry; expected 0 to {len(node) - 1}"
            )
        return node[int(part)]
    if isinstance(node, dict):
        return node.setdefault(part, {})
    raise ConfigError(f"override {override!r}: there is nothing under {part!r}")


def _problems(error: ValidationError) -> list[str]:
    errors = error.errors()
    # A list whose entries are wrong is also reported as too short: the entries say it better.
    inner = {e["loc"][:i] for e in errors for i in range(1, len(e["loc"]))}
    return [_problem(e) for e in errors if e["loc"] not in inner]


def _problem(error: Any) -> str:
    names = [part for part in error["loc"] if isinstance(part, str)]
    entries = _LISTS.get(names[-1], "") if names else ""
    match error["type"]:
        case "extra_forbidden":
            wrong = _unknown(names[-1], field_path(names[:-1]))
        case "missing":
            wrong = "required, not given"
        case "value_error":
            wrong = str(error["ctx"]["error"])
        case "too_short" if entries:
            found, least = error["ctx"]["actual_length"], error["ctx"]["min_length"]
            wrong = f"lists {found}, expected {least} or more: {entries}"
        case "tuple_type" if entries:
            wrong = f"got {error['input']!r}, expected a list: {entries}"
        case _:
            wrong = f"{error['msg']}, got {error['input']!r}"
    return f"{field_path(error['loc']) or 'study'}: {wrong}"


def _unknown(key: str, here: str) -> str:
    """Say of a key that may not stand ``here`` where it may, or which one was meant."""
    if here in _KEYS.get(key, ()):
        return "does not go with the other keys there"
    near = difflib.get_close_matches(key, _KEYS, n=1)
    if not near:
        return "unknown key"
    places = _KEYS[near[0]]
    named = " or ".join(f"under {place}" if place else "at the top" for place in places)
    if near[0] == key:
        return f"no key of this place; it belongs {named}"
    return f"unknown key; did you mean {near[0]!r}{'' if here in places else f' {named}'}?"
