"""Launch files of ``ray up``: what Ray itself refuses, and what it lets pass on every provider."""

import contextlib
import copy
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from distmerge.errors import ConfigError
from distmerge.launch.kinds import MARK, Layout, NodeKind, close_to

Config = Mapping[str, Any]

# Ray does not check these; what its providers read, of those in cluster/.
_PROVIDER_KEYS = {
    "aws": {
        "type", "region", "availability_zone", "cache_stopped_nodes", "use_internal_ips",
        "security_group", "cloudwatch", "aws_credentials", "disable_node_updaters",
    },
    "gcp": {
        "type", "region", "availability_zone", "project_id", "cache_stopped_nodes",
        "use_internal_ips", "gcp_credentials", "disable_node_updaters",
    },
    "local": {"type", "head_ip", "worker_ips", "external_head_ip", "coordinator_address"},
}  # fmt: skip
_KEY_FILES = {"ssh_private_key", "ssh_public_key"}
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def prepared(config: Config) -> Config:
    """Give the launch file with Ray's defaults, as ``ray up`` sees it; nothing is asked of a cloud.

    Raises:
        ConfigError: Ray refuses the file.
    """
    import click
    import jsonschema
    from ray.autoscaler._private.util import prepare_config, validate_config

    said = io.StringIO()  # Ray explains some refusals on the terminal alone
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            full = prepare_config(copy.deepcopy(dict(config)))
            validate_config(full)
    except jsonschema.ValidationError as error:
        raise ConfigError(f"Ray refuses it: {error.json_path}: {error.message}") from error
    except click.ClickException as error:
        raise ConfigError(f"Ray refuses it: {said.getvalue().strip()}") from error
    except (
        LookupError,
        AssertionError,
        AttributeError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise ConfigError(f"Ray refuses it: {error}") from error
    return full  # type: ignore[no-any-return]  # Ray is untyped


def layout(config: Config) -> Layout:
    """Give the nodes that a prepared launch file may start."""
    provider, head = config["provider"]["type"], config["head_node_type"]
    kinds = [
        _kind(name, kind, head=name == head and provider != "local")
        for name, kind in config["available_node_types"].items()
    ]
    return Layout(provider, kinds, config["max_workers"])


def problems(config: Config) -> Iterator[str]:
    """Yield what is wrong with a prepared launch file and is the same on every provider."""
    yield from _provider_problems(config["provider"])
    for name, kind in config["available_node_types"].items():
        low, high = kind["min_workers"], kind["max_workers"]
        if low > high:
            yield f"available_node_types.{name}: min_workers {low} is over its max_workers {high}"
        if high > config["max_workers"]:
            limit = config["max_workers"]
            yield f"available_node_types.{name}: max_workers {high} is over the cluster's {limit}"
    yield from _head_problems(config)
    yield from _start_problems(config)
    yield from _image_problems(config.get("docker") or {})
    own = {f"file_mounts.{remote}": local for remote, local in config["file_mounts"].items()}
    own |= {f"auth.{key}": path for key, path in config["auth"].items() if key in _KEY_FILES}
    for place, path in own.items():
        if MARK not in path and not Path(path).expanduser().exists():
            yield f"{place}: {path} does not exist here"


def _kind(name: str, kind: Config, *, head: bool) -> NodeKind:
    node = kind["node_config"]
    market = _mappings(node.get("InstanceMarketOptions"))
    scheduling = _mappings(node.get("scheduling"))
    return NodeKind(
        name=name,
        machine=str(node.get("InstanceType") or node.get("machineType") or "").rpartition("/")[2],
        resources={key: float(n) for key, n in (kind.get("resources") or {}).items()},
        smallest=1 if head else kind["min_workers"],
        largest=1 if head else kind["max_workers"],
        head=head,
        spot=any(part.get("MarketType") == "spot" for part in market)
        or any(p.get("provisioningModel") == "SPOT" or p.get("preemptible") for p in scheduling),
    )


def _mappings(value: object) -> Sequence[Config]:
    """Give what a value holds by name, in a list of one or not; nothing of anything else."""
    return [
        item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)
    ]


def _provider_problems(provider: Config) -> Iterator[str]:
    known = _PROVIDER_KEYS.get(provider["type"])
    if known is None:
        yield f"provider.type: no check for {provider['type']}; {close_to('', _PROVIDER_KEYS)}"
        return
    for key in sorted(set(provider) - known):
        yield f"provider.{key}: unknown; {close_to(key, known)}"


def _head_problems(config: Config) -> Iterator[str]:
    if config["provider"]["type"] == "local":
        return
    name = config["head_node_type"]
    head = config["available_node_types"][name]
    if head["max_workers"]:
        yield f"available_node_types.{name}: max_workers of the head's kind must be 0"
    if _kind(name, head, head=True).spot:
        yield f"available_node_types.{name}: a spot head; with the head everything is lost"


def _start_problems(config: Config) -> Iterator[str]:
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        text = "\n".join(config[key])
        if "RAY_AUTH_MODE=token" not in text:
            yield f"{key}: no RAY_AUTH_MODE=token; without it whoever reaches a port runs code"
        if re.search(r"RAY_AUTH_TOKEN=", text):
            yield f"{key}: a token in a command line; give a file, ~/.ray/auth_token"
        for host in re.findall(r"--dashboard-host[= ](\S+)", text):
            if host not in _LOOPBACK:
                yield f"{key}: --dashboard-host={host} opens the dashboard; expected 127.0.0.1"


def _image_problems(docker: Config) -> Iterator[str]:
    from ray import __version__ as ray_version

    for key in ("image", "head_image", "worker_image"):
        yield from image_problems(f"docker.{key}", docker.get(key) or "", ray_version)


def image_problems(place: str, image: str, ray_version: str) -> Iterator[str]:
    """Yield where an image moves, or holds another Ray than this environment."""
    name, _, tag = image.rpartition("/")[2].partition(":")
    if not image or "@sha256:" in image:
        return
    if tag in {"", "latest", "nightly"}:
        yield f"{place}: {image} moves; name a version"
    elif name == "ray" and not tag.startswith(f"{ray_version}-"):
        yield f"{place}: {image}; this environment has Ray {ray_version}, and both must be the same"
