"""The command that says what a sweep does."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from distmerge.cli.consoles import OUT, Json

if TYPE_CHECKING:
    from distmerge.sweep import Status

RUNNING, UNFINISHED = 3, 4


def status(
    place: Annotated[
        str, typer.Argument(help="Folder or URL of a results dataset, or a study file.")
    ],
    study: Annotated[str | None, typer.Option(help="Which study, if there are several.")] = None,
    as_json: Json = False,
) -> int:
    """Show what a sweep does, from its storage alone.

    Exit codes: 0 finished, 1 finished and some runs failed, 2 wrong input, 3 running, 4 neither
    running nor finished: stopped, failed or lost.
    """
    from distmerge.sweep import sweep_status

    found = sweep_status(place, study)
    if as_json:
        OUT.print_json(found.model_dump_json())
    else:
        _print(found)
    if found.state == "finished":
        return 1 if found.failed else 0
    return RUNNING if found.state == "running" else UNFINISHED


def _print(found: "Status") -> None:
    for name, value in _lines(found).items():
        OUT.print(f"{name:<10} {value}", highlight=False, soft_wrap=True)
    if found.running:
        OUT.print()
        OUT.print(_table(found))


def _lines(found: "Status") -> dict[str, str]:
    lines = {"study": found.study, "state": _state(found), "results": found.results}
    if found.features:
        lines["features"] = "{} of {}".format(*found.features)
    parts = [f"{found.failed} failed"] if found.failed else []
    parts += [f"{found.pruned} ended early"] if found.pruned else []
    parts += [f"{len(found.running)} in progress"] if found.running else []
    parts += [f"ETA {found.eta_s:.0f} s"] if found.eta_s is not None else []
    is_open = found.total is not None and found.state != "finished"
    total = f" of {found.total}" if is_open else ""
    lines["runs"] = ", ".join([f"{found.done}{total} done", *parts])
    if found.best:
        run = found.best
        lines["best"] = (
            f"{run.method}, run {run.run_id}: score {run.score:.4f}, "
            f"accuracy {100 * run.accuracy:.1f} %"
        )
    return lines


def _state(found: "Status") -> str:
    text = found.ending or found.state
    if found.state == "running" and found.phase:
        text += f": {found.phase}"
    if found.pid is None or found.since is None:
        return text
    who = f"process {found.pid} on {found.host} since {found.since:%Y-%m-%d %H:%M:%S} UTC"
    return f"{text} ({who}, seen {found.seen_s:.0f} s ago)"


def _table(found: "Status") -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("run", "method", "settings", "problem"):
        table.add_column(name, overflow="fold")
    for name in ("step", "score", "s"):
        table.add_column(name, justify="right")
    for run in found.running:
        step = f"{run.step}/{run.steps}" if run.step is not None else "-"
        score = f"{run.score:.4f}" if run.score is not None else "-"
        own = (run.run_id, run.method, run.settings, run.problem or "-")
        table.add_row(*own, step, score, f"{run.seconds:.0f}")
    return table
