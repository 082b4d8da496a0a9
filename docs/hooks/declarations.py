"""What the code declares about methods and studies, in the places that pages keep for it.

`<!-- methods -->` is the table of methods, `<!-- settings: NAME -->` a method's settings, and
`<!-- study -->` every key of a study file. Nothing here imports torch or Ray.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mkdocs.exceptions import PluginError

from distmerge.methods import METHODS, Method
from distmerge.spec import Study, described

_MARK = re.compile(r"^<!-- (methods|settings|study)(?:: (\w+))? -->$", re.MULTILINE)
_WORDS = {
    "boolean": "`true` or `false`",
    "integer": "whole number",
    "null": "`null`",
    "object": "mapping",
}
_HEAD = "| method | what it is | place, and what it needs | paper |\n|---|---|---|---|"
_LARGE = 1e6  # bounds from here on keep values in their columns, and say nothing to a reader


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put the declarations into their places."""
    return _MARK.sub(lambda found: _declared(found[1], found[2]), markdown)


def _declared(what: str, name: str | None) -> str:
    """Give what a mark stands for.

    Raises:
        PluginError: a method of that name is not known.
    """
    if what == "methods":
        return method_table()
    if what == "study":
        return study_keys()
    if name not in METHODS:
        raise PluginError(f"settings: {name!r} is no method; known: {', '.join(METHODS)}")
    return method_settings(METHODS[name])


def method_table() -> str:
    """Give one row per method."""
    rows = [
        f"| [`{name}`]({page(name)}) | {method.summary} | {place(method)} | {method.paper} |"
        for name, method in METHODS.items()
    ]
    return "\n".join([_HEAD, *rows])


def page(method: str) -> str:
    """Give the page of a method; ++ shares the one of AdaMerging."""
    return f"{method.removesuffix('_pp').replace('_', '-')}.md"


def place(method: Method) -> str:
    """Give where a method stands in a pipeline, and what it needs."""
    needs = "unlabelled adapt images" if "steps" in method.hyper.model_fields else "no data"
    towers = "; only vision transformers" if method.needs_vision_transformer else ""
    return f"{method.hyper.role}; {needs}{towers}"


def method_settings(method: Method) -> str:
    """Give every setting of a method: type, default, range that a search takes, meaning."""
    schema = method.hyper.model_json_schema()
    searched = {
        name: f"searched: {described(range_)}"
        for name, range_ in method.hyper.search_space().items()
    }
    if not schema["properties"]:
        return "There is nothing to set.\n"
    return "\n".join(_entries(method.name, schema, searched))


def study_keys() -> str:
    """Give every key of a study file, part by part, in the order in which parts are named."""
    schema = Study.model_json_schema()
    parts = {"Study": schema, **{name: schema["$defs"][name] for name in _named(schema)}}
    lines: list[str] = []
    for name, part in parts.items():
        lines += [f"## {name}", "", *_introduction(name, part, parts), *_entries(name, part, {})]
    return "\n".join(lines)


def _introduction(name: str, part: Mapping[str, Any], parts: Mapping[str, Any]) -> Iterator[str]:
    """Yield which keys a part stands under, and its own docstring."""
    above = [
        f"[`{key}`](#{other}.{key})"
        for other, around in parts.items()
        for key, field in around["properties"].items()
        if f'#/$defs/{name}"' in json.dumps(field)
    ]
    if above:
        yield from (f"Stands under {', '.join(above)}.", "")
    for paragraph in part.get("description", "").split("\n\n"):
        yield from (_line(paragraph), "")


def _named(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """Give the parts that a schema names, those that they name after them, each once."""
    found: dict[str, None] = {}
    waiting = [schema["properties"]]
    while waiting:
        for name in re.findall(r'"#/\$defs/(\w+)"', json.dumps(waiting.pop(0))):
            if name not in found:
                found[name] = None
                waiting.append(schema["$defs"][name].get("properties", {}))
    return tuple(found)


def _entries(prefix: str, schema: Mapping[str, Any], notes: Mapping[str, str]) -> Iterator[str]:
    """Yield a definition list: a key with its type, default and note, then its meaning."""
    for name, field in schema["properties"].items():
        default = "**required**" if name in schema.get("required", ()) else _default(field)
        facts = " · ".join(part for part in (kind(field), default, notes.get(name)) if part)
        yield f"`{name}`{{ #{prefix}.{name} }} <small>{facts}</small>"
        yield f":   {_line(field.get('description', ''))}"
        yield ""


def _default(field: Mapping[str, Any]) -> str:
    """Give the default; one that is a part of its own says its defaults itself."""
    default = field.get("default", {})
    return "" if isinstance(default, dict) else f"default {_value(default)}"


def _value(value: object) -> str:
    return f"`{value if isinstance(value, str) and value else json.dumps(value)}`"


def kind(field: Mapping[str, Any]) -> str:
    """Give the type of a value in words, from its JSON schema."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for union in ("anyOf", "oneOf"):
        if union in field:
            return " or ".join(dict.fromkeys(kind(each) for each in field[union]))
    if "enum" in field or "const" in field:
        values = field.get("enum", [field.get("const")])
        return " or ".join(_value(value) for value in values)
    return _plain_kind(field)


def _plain_kind(field: Mapping[str, Any]) -> str:
    name = field.get("type", "any value")
    if name == "array":
        return f"list of {kind(field.get('items', {}))}"
    if name == "string":
        return "path" if field.get("format") == "path" else "text"
    return " ".join([_WORDS.get(name, name), *_bounds(field)])


def _bounds(field: Mapping[str, Any]) -> Iterator[str]:
    words = {
        "minimum": "from",
        "exclusiveMinimum": "above",
        "maximum": "to",
        "exclusiveMaximum": "below",
    }
    for key, word in words.items():
        if abs(field.get(key, _LARGE)) < _LARGE:
            yield f"{word} {field[key]:g}"


def _line(text: str) -> str:
    return " ".join(text.split())
