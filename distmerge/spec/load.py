"""From a study file and command-line overrides to a checked ``Study``."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from distmerge.errors import ConfigError, problem_list
from distmerge.spec.hyper import Hyper
from distmerge.spec.plan import pipeline_problems
from distmerge.spec.study import Study


def load_study(path: Path, overrides: Sequence[str], hypers: Mapping[str, type[Hyper]]) -> Study:
    """Give the study in ``path`` with ``key=value`` overrides, checked against the known methods.

    Args:
        path: a YAML file.
        overrides: such as ``seed=1``, ``pipelines.0.trials=3`` or ``ray=false``; values are YAML.
        hypers: the hyperparameters of every known method.

    Raises:
        ConfigError: lists every wrong key, value, method and setting with its place.
    """
    content = read_yaml(path)
    for override in overrides:
        _apply(content, override)
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        problems = [_problem(e) for e in error.errors()]
        raise ConfigError(problem_list(str(path), problems)) from error
    problems = [
        f"pipelines.{i}.{problem}"
        for i, pipeline in enumerate(study.pipelines)
        for problem in pipeline_problems(pipeline, hypers)
    ]
    if problems:
        raise ConfigError(problem_list(str(path), problems))
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
    except yaml.YAMLError as error:
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
        node[int(last)] = yaml.safe_load(text)
    elif isinstance(node, dict):
        node[last] = yaml.safe_load(text)
    else:
        raise ConfigError(f"override {override!r}: there is nothing under {path[-2]!r}")


def _step(node: Any, part: str, override: str) -> Any:
    if isinstance(node, list):
        if not part.isdigit() or int(part) >= len(node):
            raise ConfigError(
                f"override {override!r}: {part!r} is no entry; expected 0 to {len(node) - 1}"
            )
        return node[int(part)]
    if isinstance(node, dict):
        return node.setdefault(part, {})
    raise ConfigError(f"override {override!r}: there is nothing under {part!r}")


def _problem(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"]) or "study"
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(error["loc"][-1]), Study.model_fields, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"{place}: unknown key{hint}"
    if error["type"] == "missing":
        return f"{place}: required, not given"
    return f"{place}: {error['msg']}, got {error['input']!r}"
