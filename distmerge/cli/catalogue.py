"""Commands about what distmerge brings along: its methods and its zoos."""

import json
from typing import Annotated

import typer
from rich.table import Table

from distmerge.cli.consoles import OUT, Json
from distmerge.errors import ConfigError
from distmerge.methods import METHODS, Method
from distmerge.spec import Hyper, described

zoo_app = typer.Typer(help="Built-in models and tasks.", no_args_is_help=True)


def methods(
    name: Annotated[str | None, typer.Argument(help="Show the settings of one method.")] = None,
    as_json: Json = False,
) -> None:
    """List the methods, or one method's hyperparameters."""
    if name is not None and name not in METHODS:
        raise ConfigError(f"unknown method {name!r}; known: {', '.join(METHODS)}")
    chosen = [METHODS[name]] if name else list(METHODS.values())
    if as_json:
        OUT.print_json(json.dumps([_described(method) for method in chosen]))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("method", "what it is", "paper"):
        table.add_column(title)
    for method in chosen:
        table.add_row(method.name, method.summary, method.paper)
    OUT.print(table)
    if name is not None:
        OUT.print()
        OUT.print(_settings(METHODS[name].hyper))


@zoo_app.command("build")
def zoo_build(name: Annotated[str, typer.Argument(help="Name of the zoo, such as tiny.")]) -> None:
    """Build a zoo, or what is missing of it."""
    from distmerge.zoo import build_zoo

    files = build_zoo(name, report=lambda line: OUT.print(line, highlight=False))
    OUT.print(f"{name}: {len(files.tasks)} tasks in {files.base.parent}", highlight=False)


@zoo_app.command("list")
def zoo_list(as_json: Json = False) -> None:
    """List the zoos and where the built ones lie."""
    from distmerge.zoo import ZOOS, zoo_files

    found = {name: zoo_files(name) for name in ZOOS}
    places = {name: str(files.base.parent) if files else None for name, files in found.items()}
    if as_json:
        OUT.print_json(json.dumps(places))
        return
    for name, place in places.items():
        OUT.print(f"{name}: {place or 'not built'}", highlight=False)


def _settings(hyper: type[Hyper]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("setting", "default", "searched", "meaning"):
        table.add_column(title)
    for row in _fields(hyper):
        table.add_row(row["field"], row["default"], row["searched"], row["meaning"])
    return table


def _fields(hyper: type[Hyper]) -> list[dict[str, str]]:
    space = hyper.search_space()
    return [
        {
            "field": name,
            "default": str(field.default),
            "searched": described(space[name]) if name in space else "",
            "meaning": " ".join((field.description or "").split()),
        }
        for name, field in hyper.model_fields.items()
    ]


def _described(method: Method) -> dict[str, object]:
    return {
        "name": method.name,
        "title": method.title,
        "paper": method.paper,
        "summary": method.summary,
        "settings": _fields(method.hyper),
    }
