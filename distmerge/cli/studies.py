"""Commands about studies: run one, show its leaderboard."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distmerge.cli.consoles import ERR, OUT, TERMINATED, Json
from distmerge.errors import ConfigError

if TYPE_CHECKING:
    from distmerge.sweep import SweepResult

QUICKSTART = Path(__file__).parents[2] / "jobs" / "quickstart.yaml"


def sweep(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="A study file (default: the quickstart), then key=value overrides."),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would run; start nothing.")] = (
        False
    ),
    fork: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Run as study NAME; take over the study's finished runs that are the same.",
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Run a study: adapt, select, report; rows to Parquet, the best model to safetensors."""
    from distmerge.methods import HYPERS
    from distmerge.spec import load_study

    if plan and as_json:
        raise ConfigError("--plan is text for people; leave out --json")
    path, overrides = _study_arguments(arguments or [])
    study = load_study(path, overrides, HYPERS)
    parent = None
    if fork is not None:
        parent = study.study
        study = load_study(path, [*overrides, f"study={json.dumps(fork)}"], HYPERS)
    if plan:
        from distmerge.sweep import plan_lines

        for line in plan_lines(study, parent):
            heading = bool(line) and not line.startswith(" ")
            style = "bold" if heading else None
            OUT.print(line, style=style, highlight=False, soft_wrap=True)
        return 0
    from distmerge.sweep import Terminated, run_sweep

    try:
        result = run_sweep(study, ERR if as_json else OUT, parent)
    except Terminated:
        return TERMINATED
    if as_json:
        OUT.print_json(_result_json(result, study.study))
    else:
        _print_result(result, study.study)
    if result.failed:
        ERR.print(f"{result.failed} runs failed; their rows have status=error and the message")
    return 1 if result.failed else 0


def leaderboard(
    root: Annotated[str, typer.Argument(help="Folder or URL of a results dataset.")],
    study: Annotated[str | None, typer.Option(help="Which study, if there are several.")] = None,
    as_json: Json = False,
) -> None:
    """Print the leaderboard of a study again."""
    from distmerge.methods import HYPERS
    from distmerge.report import leaderboard_json
    from distmerge.results import RunStore
    from distmerge.results import leaderboard as table_of

    store = RunStore(root, HYPERS)
    name = store.chosen_study(study)
    table = table_of(store.records(name), name)
    if as_json:
        OUT.print_json(leaderboard_json(table))
    else:
        _print_board(table, name)


def _study_arguments(arguments: Sequence[str]) -> tuple[Path, list[str]]:
    paths = [argument for argument in arguments if "=" not in argument]
    if len(paths) > 1:
        raise ConfigError(f"expected one study file, got {len(paths)}: {', '.join(paths)}")
    overrides = [argument for argument in arguments if "=" in argument]
    return (Path(paths[0]) if paths else QUICKSTART), overrides


def _print_result(result: "SweepResult", study: str) -> None:
    _print_board(result.leaderboard, study)
    OUT.print(f"results  {result.place}", highlight=False, soft_wrap=True)
    if result.best is not None:
        OUT.print(f"best     {result.best.method}, run {result.best.run_id}", highlight=False)
        OUT.print(f"         {result.best.tower}", highlight=False, soft_wrap=True)


def _result_json(result: "SweepResult", study: str) -> str:
    from distmerge.report import leaderboard_json

    content = {
        "study": study,
        "leaderboard": json.loads(leaderboard_json(result.leaderboard)),
        "results": result.place,
        "best": result.best and result.best._asdict(),
        "failed": result.failed,
    }
    return json.dumps(content)


def _print_board(table: object, study: str) -> None:
    import pandas as pd

    from distmerge.report import render_leaderboard

    assert isinstance(table, pd.DataFrame)
    OUT.print(render_leaderboard(table, study=study))
