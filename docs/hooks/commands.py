"""The commands with their arguments and options, in the place of `<!-- commands -->`."""

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from typer.main import get_command

from distmerge.cli import app

_MARK = "<!-- commands -->"


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put the commands into their place."""
    return markdown.replace(_MARK, "\n".join(sections(get_command(app), "distmerge")))


def sections(command: Any, name: str) -> Iterator[str]:
    """Yield a section per command, those of a group after it."""
    for key, inner in command.commands.items():
        if hasattr(inner, "commands"):
            yield from sections(inner, f"{name} {key}")
        else:
            yield from (f"## {name} {key}", "", inner.help, "")
            yield from (line for parameter in inner.params for line in _entry(parameter))


def _entry(parameter: Any) -> Iterator[str]:
    if not parameter.help:  # of --help itself
        return
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    facts = "many" if parameter.multiple or parameter.nargs < 0 else ""
    annotation = parameter.type_descriptor.annotation
    if get_origin(annotation) is Literal:
        facts = " or ".join(f"`{value}`" for value in get_args(annotation))
    shown = f"default `{parameter.default}`" if parameter.default else ""
    need = "**required**" if parameter.required else shown
    small = " · ".join(part for part in (facts, need) if part)
    yield f"{names} <small>{small}</small>" if small else names
    yield f":   {parameter.help}"
    yield ""
