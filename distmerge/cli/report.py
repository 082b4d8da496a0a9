"""The command that shows a study to people."""

from pathlib import Path
from typing import Annotated

import typer

from distmerge.cli.consoles import ERR, OUT
from distmerge.errors import ConfigError


def report(
    root: Annotated[str, typer.Argument(help="Folder or URL of a results dataset.")],
    study: Annotated[str | None, typer.Option(help="Which study, if there are several.")] = None,
    to: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file to write (default: report.html)."),
    ] = None,
    png: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the figures there too, for papers.")
    ] = None,
    as_markdown: Annotated[
        bool,
        typer.Option("--markdown", help="Markdown instead of a page; printed, unless -o is given."),
    ] = False,
) -> None:
    """Write one page that shows a study: it needs no network, and no other file."""
    from distmerge.report import markdown, page, study_report, write_drawings

    made = study_report(root, study)
    if as_markdown and to is None:
        OUT.file.write(markdown(made))
    else:
        path = to or Path("report.html")
        text = markdown(made) if as_markdown else page(made)
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{path}: cannot write the report ({error.strerror})") from error
        _say("report", path)
    for path in write_drawings(made, png) if png else ():
        _say("figure", path)


def _say(what: str, path: Path) -> None:
    ERR.print(f"{what}   {path}", highlight=False, soft_wrap=True)
