"""Takes a command line; gives its exit code: 0 done, 1 some failed, 2 wrong input, 130 stopped.

Nothing heavy is imported before it is needed: ``--help`` and errors in a study answer at once.
"""

from collections.abc import Sequence

import typer

from distmerge.cli import catalogue, models, studies
from distmerge.cli.consoles import ERR
from distmerge.errors import DistmergeError

STOPPED = 130  # what typer makes of Ctrl-C

app = typer.Typer(
    help="Merge fine-tuned CLIP image towers into one multi-task model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(studies.sweep)
app.command()(studies.leaderboard)
app.command("import")(models.import_)
app.command()(models.export)
app.command()(models.predict)
app.command()(catalogue.methods)
app.add_typer(catalogue.zoo_app, name="zoo")


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
