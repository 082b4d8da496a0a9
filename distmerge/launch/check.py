"""Everything that can be said of a launch file before anything is started."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from distmerge.errors import ConfigError
from distmerge.launch import aws, gcp, kuberay, ray_up
from distmerge.launch.kinds import Layout, unchanged
from distmerge.launch.machines import Price, price, resource_problems
from distmerge.spec import Study

Config = Mapping[str, Any]

_OF_PROVIDER = {"aws": aws.problems, "gcp": gcp.problems}


class Report(NamedTuple):
    """What is known of a launch file."""

    layout: Layout | None
    """Its nodes; nothing where the file cannot be read that far."""
    price: Price | None
    """What it costs an hour; nothing where no bill by machine is sent."""
    problems: Sequence[str]
    """All that must be mended."""
    notes: Sequence[str]
    """What is good to know."""


def check(path: Path, study: Study | None = None) -> Report:
    """Give what a launch file would start and cost, and everything that is wrong with it.

    Nothing is asked of a cloud or a cluster. A relative path in the file starts at the current
    folder, as it does for ``ray up``.

    Raises:
        ConfigError: the file is not YAML of ``ray up`` or KubeRay, or what checks it is missing.
    """
    config = _read(path)
    problems = list(unchanged(config))
    try:
        layout, own = _kuberay(config) if "apiVersion" in config else _ray_up(config)
    except ConfigError as error:
        return Report(None, None, [*problems, str(error)], [])
    problems += [*own, *resource_problems(layout)]
    if study is None:
        return Report(layout, price(layout), problems, [])
    from distmerge.launch.fit import fit  # knows the pool, and with it torch

    found = fit(study, layout)
    return Report(layout, price(layout), [*problems, *found.problems], found.notes)


def _ray_up(config: Config) -> tuple[Layout, Iterator[str]]:
    full = ray_up.prepared(config)
    of_provider = _OF_PROVIDER.get(full["provider"]["type"], lambda _: iter(()))
    return ray_up.layout(full), chain(ray_up.problems(full), of_provider(full))


def _kuberay(config: Config) -> tuple[Layout, Iterator[str]]:
    spec = kuberay.cluster_spec(config)
    return kuberay.layout(spec), kuberay.problems(spec)


def _read(path: Path) -> Config:
    """Give the one YAML document of a file.

    Raises:
        ConfigError: there is no such file, or it is something else.
    """
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot read the launch file: {error}") from error
    if isinstance(config, dict) and ("provider" in config or "apiVersion" in config):
        return config
    raise ConfigError(
        f"{path}: not a launch file; expected the provider of `ray up` or KubeRay's apiVersion"
    )
