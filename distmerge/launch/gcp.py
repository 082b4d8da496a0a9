"""What ``ray up`` on Google Cloud lets pass, found with the API description its client ships."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from distmerge.errors import ConfigError
from distmerge.launch.kinds import close_to, strings

Config = Mapping[str, Any]
Schema = Mapping[str, Any]

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}
_OWN_KEYS = {"sourceInstanceTemplate"}  # Ray takes it out of the instance


def problems(config: Config) -> Iterator[str]:
    """Yield what Compute Engine would refuse, and what Ray would leave open.

    Raises:
        ConfigError: Google's client is not installed.
    """
    for name, kind in config["available_node_types"].items():
        place, node = f"available_node_types.{name}.node_config", kind["node_config"]
        given = {key: value for key, value in node.items() if key not in _OWN_KEYS}
        yield from _value_problems(place, given, {"$ref": "Instance"})
        if "networkInterfaces" not in node:
            yield f"{place}: no networkInterfaces; Ray would take the first network it finds"
        if name == config["head_node_type"] and "serviceAccounts" not in node:
            yield f"{place}: no serviceAccounts; Ray would give it all machines and buckets"
        for where, text in strings(node, place):
            if where.endswith(".sourceImage") and "/family/" in text:
                yield f"{where}: {text} moves; name an image of the family"


def _value_problems(place: str, value: Any, schema: Schema) -> Iterator[str]:  # as JSON
    schema = _schemas()[schema["$ref"]] if "$ref" in schema else schema
    kind: str = schema.get("type", "any")
    if kind == "object":
        # The API takes a list of one as the one; Ray's own examples write scheduling so.
        items = value if isinstance(value, list) else [value]
        for item in items:
            yield from _object_problems(place, item, schema)
    elif kind == "array":
        if not isinstance(value, list):
            yield f"{place}: got {value!r}; expected a list"
            return
        for i, item in enumerate(value):
            yield from _value_problems(f"{place}[{i}]", item, schema["items"])
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{place}: {value!r} is unknown; {close_to(str(value), schema['enum'])}"
    elif not _fits(value, kind, schema):
        yield f"{place}: got {value!r}; expected a {kind}"


def _object_problems(place: str, value: Any, schema: Schema) -> Iterator[str]:  # as JSON
    if not isinstance(value, Mapping):
        yield f"{place}: got {value!r}; expected keys and values"
        return
    known = schema.get("properties", {})
    for key, item in value.items():
        if key in known:
            yield from _value_problems(f"{place}.{key}", item, known[key])
        elif "additionalProperties" not in schema:
            yield f"{place}.{key}: unknown; {close_to(key, known)}"


def _fits(value: object, kind: str, schema: Schema) -> bool:
    """Say whether a YAML value is of a JSON type; Google's JSON has 64-bit numbers as strings."""
    if schema.get("format") in {"int64", "uint64"}:
        return isinstance(value, int) or (isinstance(value, str) and value.isdigit())
    return isinstance(value, _TYPES.get(kind, object))


@cache
def _schemas() -> Mapping[str, Schema]:
    try:
        from googleapiclient.discovery_cache import get_static_doc
    except ImportError as error:
        raise ConfigError("a launch file for GCP needs: pip install 'distmerge[gcp]'") from error
    described: Mapping[str, Mapping[str, Schema]] = json.loads(get_static_doc("compute", "v1"))
    return described["schemas"]
