"""Takes a command line; gives its exit code: 0 done, 1 some failed, 2 wrong input, 130 stopped.

A sweep that SIGTERM stopped gives 143.

Nothing heavy is imported before it is needed: ``--help`` and errors in a study answer at once.
"""

from collections.abc import Sequence

import typer

from distmerge.cli import catalogue, cluster, models, report, results, status, studies
from distmerge.cli.consoles import ERR, STOPPED, TERMINATED
from distmerge.errors import DistmergeError

app = typer.Typer(
    help="Merge fine-tuned towers into one multi-task model.",
    epilog="Exit codes: 0 done, 1 some failed, 2 wrong input, 130 stopped, 143 stopped by SIGTERM.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(studies.sweep)
app.command()(cluster.submit)
app.command()(status.status)
app.command()(studies.leaderboard)
app.command()(report.report)
app.command("import")(models.import_)
app.command()(models.merge)
app.command()(models.export)
app.command()(models.predict)
app.command()(catalogue.methods)
app.add_typer(catalogue.zoo_app, name="zoo")
app.add_typer(results.results_app, name="results")
app.add_typer(cluster.cluster_app, name="cluster")


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
    if code in {STOPPED, TERMINATED}:
        ERR.print("stopped; run the same command again to go on")
    return code if isinstance(code, int) else 0
