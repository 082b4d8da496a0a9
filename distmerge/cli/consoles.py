"""Where commands print: tables and results to standard output, complaints to standard error."""

from typing import Annotated

import typer
from rich.console import Console

STOPPED, TERMINATED = 130, 143  # the exit codes after Ctrl-C (typer's) and after SIGTERM
OUT, ERR = Console(markup=False), Console(stderr=True, markup=False)
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
