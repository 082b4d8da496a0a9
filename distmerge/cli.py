"""The ``distmerge`` command. Exit codes: 0 done, 1 some runs failed, 2 wrong input, 130 stopped.

Nothing heavy is imported before it is needed: ``--help`` and errors in a study answer at once.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from distmerge.errors import ConfigError, DistmergeError, ResultsError
from distmerge.methods import METHODS, Method
from distmerge.spec import Hyper, described

if TYPE_CHECKING:
    from distmerge.artefact import Prediction

OUT, ERR = Console(markup=False), Console(stderr=True, markup=False)
STOPPED = 130  # what typer makes of Ctrl-C
QUICKSTART = Path(__file__).parents[1] / "jobs" / "quickstart.yaml"

app = typer.Typer(
    help="Merge fine-tuned CLIP image towers into one multi-task model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
zoo_app = typer.Typer(help="Built-in models and tasks.", no_args_is_help=True)
app.add_typer(zoo_app, name="zoo")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command()
def sweep(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="A study file (default: the quickstart), then key=value overrides."),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would run; start nothing.")] = (
        False
    ),
) -> int:
    """Run a study: adapt, select, report; rows to Parquet, the best model to safetensors."""
    from distmerge.methods import HYPERS
    from distmerge.spec import load_study

    path, overrides = _study_arguments(arguments or [])
    study = load_study(path, overrides, HYPERS)
    if plan:
        from distmerge.sweep import plan_lines

        for line in plan_lines(study):
            heading = bool(line) and not line.startswith(" ")
            style = "bold" if heading else None
            OUT.print(line, style=style, highlight=False, soft_wrap=True)
        return 0
    from distmerge.sweep import run_sweep

    result = run_sweep(study, OUT)
    _print_board(result.leaderboard, study.study)
    OUT.print(f"results  {result.place}", highlight=False, soft_wrap=True)
    if result.best is not None:
        OUT.print(f"best     {result.best.method}, run {result.best.run_id}", highlight=False)
        OUT.print(f"         {result.best.tower}", highlight=False, soft_wrap=True)
    if result.failed:
        ERR.print(f"{result.failed} runs failed; their rows have status=error and the message")
    return 1 if result.failed else 0


@app.command()
def leaderboard(
    root: Annotated[str, typer.Argument(help="Folder or URL of a results dataset.")],
    study: Annotated[str | None, typer.Option(help="Which study, if there are several.")] = None,
    as_json: Json = False,
) -> None:
    """Print the leaderboard of a study again."""
    from distmerge.methods import HYPERS
    from distmerge.report import leaderboard as table_of
    from distmerge.report import leaderboard_json
    from distmerge.results import RunStore

    store = RunStore(root, HYPERS)
    names = store.studies()
    if not names:
        raise ResultsError(f"{root}: no results here; a sweep makes them")
    if study is not None and study not in names:
        raise ConfigError(f"{root}: no study {study!r}; there are: {', '.join(names)}")
    if study is None and len(names) != 1:
        raise ConfigError(
            f"{root}: holds {len(names)} studies ({', '.join(names)}); choose one with --study"
        )
    name = study or names[0]
    table = table_of(store.records(name), name)
    if as_json:
        OUT.print_json(leaderboard_json(table))
    else:
        _print_board(table, name)


@app.command("import")
def import_(
    source: Annotated[str, typer.Argument(help="A file, a folder, or a URL (s3://, hf://, ...).")],
    folder: Annotated[Path, typer.Argument(help="Where to write.")],
    name: Annotated[str | None, typer.Option(help="Of the files (default: the source's).")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="The open_clip model, if the source does not tell: ViT-B-32-quickgelu."),
    ] = None,
    base: Annotated[
        Path | None, typer.Option(help="The imported tower that an adapter was trained on.")
    ] = None,
) -> None:
    """Convert a checkpoint of another program; no code of it is run."""
    from distmerge.models import import_checkpoint

    done = import_checkpoint(source, folder, name=name, model=model, base=base)
    for path in done.files:
        OUT.print(str(path), highlight=False, soft_wrap=True)
    OUT.print(done.summary, highlight=False, soft_wrap=True)


@app.command()
def export(
    run_id: Annotated[str, typer.Argument(help="A run, or how its name begins.")],
    storage: Annotated[str, typer.Option(help="Folder or URL of a results dataset.")] = "results",
    form: Annotated[
        Literal["open_clip", "hf"],
        typer.Option("--format", help="hf: beside it, the tower as transformers reads it."),
    ] = "open_clip",
    to: Annotated[
        Path | None, typer.Option(help="The new folder (default: STUDY-RUN).", show_default=False)
    ] = None,
) -> None:
    """Write any run's model into a folder that needs nothing else."""
    from distmerge.sweep import export_run

    folder = export_run(run_id, storage, to=to, hugging_face=form == "hf")
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        size = f"{path.stat().st_size / 1e6:10,.2f} MB"
        OUT.print(f"{size}  {path.relative_to(folder)}", highlight=False, soft_wrap=True)
    OUT.print(f"model    {folder}", highlight=False, soft_wrap=True)


@app.command()
def predict(
    folder: Annotated[Path, typer.Argument(help="A model's folder, as export writes it.")],
    images: Annotated[list[str], typer.Argument(help="Image files.")],
    task: Annotated[
        str | None, typer.Option(help="Whose classes; a routed model finds out by itself.")
    ] = None,
    device: Annotated[str, typer.Option(help="Such as cpu or cuda:0.")] = "cpu",
    as_json: Json = False,
) -> int:
    """Print what a model sees in images."""
    from distmerge.artefact import Unreadable, load

    found = list(zip(images, load(folder, device).try_predict(images, task), strict=True))
    bad = [(name, answer) for name, answer in found if isinstance(answer, Unreadable)]
    if as_json:
        OUT.print_json(json.dumps([{"image": k, **v._asdict()} for k, v in found]))
    else:
        answers = [(k, v) for k, v in found if not isinstance(v, Unreadable)]
        OUT.print(_predictions(answers, routed=task is None))
    for name, answer in bad:
        ERR.print(f"{name}: {answer.reason}", highlight=False, soft_wrap=True)
    if bad:
        ERR.print(f"{len(bad)} of {len(found)} images cannot be read", highlight=False)
    return 1 if bad else 0


@app.command()
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
def zoo_list() -> None:
    """List the zoos and where the built ones lie."""
    from distmerge.zoo import ZOOS, zoo_files

    for name in ZOOS:
        files = zoo_files(name)
        OUT.print(f"{name}: {files.base.parent if files else 'not built'}", highlight=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; errors of ours are one message on standard error, without a traceback."""
    try:
        code = app(args=arguments, standalone_mode=False, prog_name="distmerge")
    except DistmergeError as error:
        ERR.print(f"error: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        return 2
    except Exception as error:
        show = getattr(error, "show", None)  # click's usage errors print themselves
        if show is None:
            raise
        show()
        return 2
    if code == STOPPED:
        ERR.print("stopped; run the same command again to go on")
    return code if isinstance(code, int) else 0


def _study_arguments(arguments: Sequence[str]) -> tuple[Path, list[str]]:
    paths = [argument for argument in arguments if "=" not in argument]
    if len(paths) > 1:
        raise ConfigError(f"expected one study file, got {len(paths)}: {', '.join(paths)}")
    overrides = [argument for argument in arguments if "=" in argument]
    return (Path(paths[0]) if paths else QUICKSTART), overrides


def _print_board(table: object, study: str) -> None:
    import pandas as pd

    from distmerge.report import render_leaderboard

    assert isinstance(table, pd.DataFrame)
    OUT.print(render_leaderboard(table, study=study))


def _predictions(found: "Sequence[tuple[str, Prediction]]", *, routed: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("image", "class", "probability", *(("task", "weight") if routed else ())):
        table.add_column(title)
    for name, answer in found:
        row = [name, answer.label, f"{answer.probability:.3f}"]
        if answer.weight is not None:
            row += [answer.task, f"{answer.weight:.3f}"]
        table.add_row(*row)
    return table


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


if __name__ == "__main__":
    sys.exit(main())
