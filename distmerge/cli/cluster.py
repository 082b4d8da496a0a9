"""Commands about clusters: check a launch file."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from distmerge.cli.consoles import OUT, Json
from distmerge.errors import ConfigError, problem_list

if TYPE_CHECKING:
    from distmerge.launch import Price, Report

cluster_app = typer.Typer(help="Check what would start a cluster.", no_args_is_help=True)


@cluster_app.command("check")
def cluster_check(
    file: Annotated[Path, typer.Argument(help="A launch file of `ray up` or KubeRay.")],
    study: Annotated[
        Path | None, typer.Option("--study", help="A study file that must fit the cluster.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find mistakes in a launch file and show what it costs; nothing is started."""
    from distmerge.launch import check
    from distmerge.methods import HYPERS
    from distmerge.spec import load_study

    report = check(file, load_study(study, [], HYPERS) if study else None)
    if as_json:
        OUT.print_json(_report_json(report))
    else:
        _print_report(report)
    if report.problems:
        raise ConfigError(problem_list(f"{file}: to be mended before it is used", report.problems))
    if not as_json:
        OUT.print(f"{file}: nothing wrong found", highlight=False, soft_wrap=True)


def _report_json(report: "Report") -> str:
    content = {
        "nodes": [asdict(kind) for kind in report.layout.kinds] if report.layout else None,
        "max_workers": report.layout and report.layout.max_workers,
        "price": report.price and report.price._asdict(),
        "notes": list(report.notes),
        "problems": list(report.problems),
    }
    return json.dumps(content)


def _print_report(report: "Report") -> None:
    _print_nodes(report)
    if report.price:
        _print_price(report.price)
    for note in report.notes:
        OUT.print(note, highlight=False, soft_wrap=True)


def _print_nodes(report: "Report") -> None:
    if report.layout is None:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("nodes", "machine", "CPU", "GPU", "from", "to"):
        table.add_column(name, justify="left" if name in {"nodes", "machine"} else "right")
    for kind in report.layout.kinds:
        offered = [f"{kind.resources.get(name, 0):g}" for name in ("CPU", "GPU")]
        numbers = offered if kind.resources else ["?", "?"]
        machine = f"{kind.machine}{', spot' if kind.spot else ''}"
        table.add_row(kind.name, machine, *numbers, str(kind.smallest), str(kind.largest))
    OUT.print(table)
    OUT.print(f"at most {report.layout.max_workers} workers at a time", highlight=False)


def _print_price(price: "Price") -> None:
    sizes = {"smallest": price.smallest, "largest": price.largest}
    for size, (low, high) in sizes.items():
        text = f"price at the {size} size: {low:.2f} to {high:.2f} USD an hour"
        OUT.print(text, highlight=False, soft_wrap=True)
    if price.unknown:
        text = f"price without {', '.join(price.unknown)}: not in the table"
        OUT.print(text, highlight=False, soft_wrap=True)
    for note in price.notes:
        OUT.print(f"  {note}", highlight=False, soft_wrap=True)
