"""Commands about clusters: check a launch file, submit a study as a job."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from distmerge.cli.consoles import ERR, OUT, STOPPED, TERMINATED, Json
from distmerge.errors import ConfigError, ResultsError, problem_list

if TYPE_CHECKING:
    from distmerge.launch import Ended, JobCluster, Price, Report, View
    from distmerge.spec import Study

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


def submit(
    file: Annotated[
        Path, typer.Argument(metavar="STUDY", help="A study file that travels with the job.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="As for `sweep`.")
    ] = None,
    address: Annotated[
        str, typer.Option(envvar="RAY_API_SERVER_ADDRESS", help="The cluster's dashboard.")
    ] = "http://127.0.0.1:8265",
    storage: Annotated[
        str | None, typer.Option(help="URL for the results; short for storage=URL.")
    ] = None,
    shared: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="Every node has it under this path; may be repeated."),
    ] = None,
    follow: Annotated[bool, typer.Option(help="Show the job's log until it ends.")] = True,
) -> int:
    """Check a study, then run it as a job of a Ray cluster; needs the cluster's token."""
    from distmerge.launch import JobCluster, View, packed
    from distmerge.methods import HYPERS
    from distmerge.spec import load_study

    chosen = [*(overrides or []), *([f"storage={storage}"] if storage else [])]
    study = load_study(file, chosen, HYPERS)
    with packed(Path()) as package:
        cluster = JobCluster(address)
        view = View(package, cluster.is_here(), tuple(shared or []))
        arguments = [_from_here(file), *chosen, *_checked(study, file, view)]
        _say(f"sends    {len(package.names)} files, {package.mib:.1f} MiB")
        # The leaderboard is as wide as this terminal.
        job = cluster.submit(study, arguments, package, {"COLUMNS": str(OUT.width)})
    _say(f"job      {job}; stop it: {cluster.command('stop', job)}")
    return _followed(cluster, job) if follow else 0


def _checked(study: "Study", file: Path, view: "View") -> Sequence[str]:
    """Refuse what cannot run on a cluster; give the overrides that it needs there."""
    from distmerge.launch import absolute_outputs, elsewhere, unseen

    if problems := list(unseen(study, Path(_from_here(file)), view)):
        raise ConfigError(problem_list(f"{file}: the cluster cannot see all of it", problems))
    absent = [] if view.here else elsewhere(study)
    if absent:
        _say(f"checked  the study; the job will check {len(absent)} files that are not here")
    else:
        _check_files(study)
    return absolute_outputs(study) if view.here else []


def _check_files(study: "Study") -> None:
    """Refuse models and data that do not fit, as ``sweep --plan`` does, from their headers."""
    from distmerge.sweep import plan_lines

    try:
        *_, last = plan_lines(study)
        _say(f"checked  {last}")
    except ResultsError as error:  # they are read last
        _say(f"checked  models and data; the job will check the results, since here {error}")


def _from_here(file: Path) -> str:
    """Give a path relative to this folder, if it lies in it: the folder travels."""
    path = file.absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _followed(cluster: "JobCluster", job: str) -> int:
    """Show the log of a job; give its exit code."""
    try:
        ended = cluster.follow(job, sys.stdout.write)
    except KeyboardInterrupt:
        _say(f"job {job} goes on; stop it: {cluster.command('stop', job)}")
        _say(f"follow it again: {cluster.command('logs', job)} --follow")
        raise SystemExit(STOPPED) from None  # without advice to run the same command again
    _say(f"job      {job} {ended.status}")
    return _exit_code(ended)


def _exit_code(ended: "Ended") -> int:
    if ended.status == "SUCCEEDED":
        return 0
    if ended.status == "STOPPED":
        return TERMINATED
    if ended.exit_code is None:
        ERR.print(ended.message, highlight=False, soft_wrap=True)
    return ended.exit_code if ended.exit_code and 0 < ended.exit_code < 256 else 1


def _say(line: str) -> None:
    OUT.print(line, highlight=False, soft_wrap=True)


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
