"""What a static method does to task vectors: thin them out or not, then scale their sum."""

from collections.abc import Sequence
from dataclasses import dataclass

import yaml
from pydantic import ValidationError

from distmerge.errors import ConfigError, problem_list
from distmerge.methods import HYPERS
from distmerge.spec import Hyper, Selection

STATIC_METHODS = ("weight_averaging", "task_arithmetic", "ties")
"""The methods that need no data."""


@dataclass(frozen=True)
class Recipe:
    """``theta = base + coefficient * sum_k selected(tau)_k``."""

    method: str
    hyper: Hyper

    def coefficient(self, num_tasks: int) -> float:
        """Give the factor of the sum. Source: algorithms.md 3.1 to 3.3."""
        scaling = self.hyper.model_dump().get("scaling")
        return 1 / num_tasks if scaling is None else float(scaling)

    @property
    def selection(self) -> Selection | None:
        """How task vectors are thinned out, if they are."""
        settings = self.hyper.model_dump(exclude={"scaling"})
        return Selection(**settings) if self.method == "ties" else None


def static_recipe(method: str, settings: Sequence[str] = ()) -> Recipe:
    """Give what a method does with ``METHOD.FIELD=VALUE`` settings; values are YAML.

    Raises:
        ConfigError: the method needs data, or lists every setting that is wrong.
    """
    if method not in STATIC_METHODS:
        needs_data = f"{method} learns from data; `distmerge sweep` runs it"
        reason = needs_data if method in HYPERS else f"unknown method {method!r}"
        raise ConfigError(f"{reason}; methods that need none: {', '.join(STATIC_METHODS)}")
    fields = HYPERS[method].model_fields
    known = ", ".join(f"{method}.{field}" for field in fields) or f"none, {method} has no settings"
    values, problems = {}, []
    for setting in settings:
        key, sign, text = setting.partition("=")
        owner, _, field = key.partition(".")
        if not sign or owner != method or field not in fields:
            problems.append(f"{setting!r}: expected KEY=VALUE with a key of: {known}")
        else:
            values[field] = text
    checked, wrong = _checked(HYPERS[method], values)
    if checked is None or problems:
        raise ConfigError(problem_list(f"settings of {method}", [*problems, *wrong]))
    return Recipe(method, checked)


def _checked(hyper: type[Hyper], texts: dict[str, str]) -> tuple[Hyper | None, list[str]]:
    """Give the hyperparameters, or what is wrong with them."""
    try:
        return hyper.model_validate({k: yaml.safe_load(text) for k, text in texts.items()}), []
    except yaml.YAMLError as error:
        return None, [f"not YAML: {error}"]
    except ValidationError as error:
        return None, [f"{e['loc'][0]}: {e['msg']}, got {e['input']!r}" for e in error.errors()]
