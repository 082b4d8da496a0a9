"""Commands about results datasets: check one, ask it questions."""

import json
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from distmerge.cli.consoles import OUT, Json

if TYPE_CHECKING:
    import pandas as pd

results_app = typer.Typer(help="Check a results dataset, ask it questions.", no_args_is_help=True)

Root = Annotated[str, typer.Argument(help="Folder or URL of a results dataset.")]
StudyName = Annotated[str | None, typer.Option("--study", help="Which, if there are several.")]
MEASURES = "score, accuracy, accuracy.TASK, mean.L3, cost_s, ..."


@results_app.command("check")
def results_check(root: Root, as_json: Json = False) -> int:
    """Verify a dataset and say how to mend it; nothing is changed."""
    from distmerge.results import check

    findings = check(root)
    if as_json:
        OUT.print_json(json.dumps([finding._asdict() for finding in findings]))
    else:
        for place, problem, mend in findings:
            OUT.print(f"{place}: {problem}; {mend}", highlight=False, soft_wrap=True)
        OUT.print(f"{root}: {len(findings) or 'no'} findings", highlight=False, soft_wrap=True)
    return 1 if findings else 0


@results_app.command("best")
def results_best(
    root: Root,
    study: StudyName = None,
    by: Annotated[str, typer.Option(help=f"A measure: {MEASURES}")] = "score",
    as_json: Json = False,
) -> None:
    """Show every method's best run."""
    from distmerge.results import best, load

    found = best(load(root, study), by=by).reset_index()
    shown = dict.fromkeys(["method", "run_id", by, "score", "accuracy", "cost_s"])
    _print(found if as_json else found[list(shown)], as_json=as_json)


@results_app.command("pareto")
def results_pareto(
    root: Root,
    study: StudyName = None,
    objective: Annotated[
        list[str] | None, typer.Option(help=f"Measures (default: accuracy, cost_s): {MEASURES}")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the configurations that no other beats in every objective."""
    from distmerge.results import load, pareto

    objectives = objective or ["accuracy", "cost_s"]
    found = pareto(load(root, study), objectives=objectives)
    shown = ["method", *objectives, "seeds", "run_ids"]
    _print(found if as_json else found[shown], as_json=as_json)


@results_app.command("ablation")
def results_ablation(
    root: Root,
    setting: Annotated[str, typer.Argument(help="Such as adamerging.lr.")],
    study: StudyName = None,
    measure: Annotated[str, typer.Option(help=f"A measure: {MEASURES}")] = "accuracy",
    against: Annotated[
        str | None, typer.Option(help="The run to change one setting of (default: the best).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what changing one setting alone did."""
    from distmerge.results import ablation, load

    rows = load(root, study)
    _print(ablation(rows, setting, measure=measure, against=against), as_json=as_json)


@results_app.command("compare")
def results_compare(
    root: Root,
    first: Annotated[str, typer.Argument(help="A study.")],
    second: Annotated[str, typer.Argument(help="Another study of the dataset.")],
    as_json: Json = False,
) -> None:
    """Show two studies side by side, by method and task."""
    from distmerge.results import compare, load

    _print(compare(load(root, first), load(root, second)), as_json=as_json)


@results_app.command("effect")
def results_effect(
    root: Root,
    method: Annotated[str, typer.Argument(help="Its stages joined by +.")],
    study: StudyName = None,
    measure: Annotated[str, typer.Option(help=f"A measure: {MEASURES}")] = "score",
    as_json: Json = False,
) -> None:
    """Show how much of a measure each of a method's settings explains."""
    from distmerge.results import hyperparameter_effect, load

    _print(hyperparameter_effect(load(root, study), method, measure=measure), as_json=as_json)


def _print(found: "pd.DataFrame", *, as_json: bool) -> None:
    if as_json:
        OUT.print_json(found.to_json(orient="records", double_precision=15, date_format="iso"))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in found.columns:
        justify: Literal["left", "right"] = "right" if found[name].dtype.kind in "if" else "left"
        table.add_column(name, justify=justify, overflow="fold")
    for row in found.itertuples(index=False):
        table.add_row(*map(_cell, row))
    OUT.print(table)


def _cell(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return "-" if value != value else f"{value:.4g}"  # noqa: PLR0124  # NaN
    return str(value)
