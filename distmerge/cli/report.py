"""The command that shows a study to people."""

from pathlib import Path
from typing import Annotated

import typer

from distmerge.cli.consoles import ERR, OUT
from distmerge.errors import ConfigError

_PORT = 8787


def report(  # noqa: PLR0913, PLR0917  # every option is one
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
    serve: Annotated[
        bool, typer.Option("--serve", help="Show the page here and follow the sweep, till Ctrl-C.")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Of --serve, on 127.0.0.1; 0: any (default: 8787)."),
    ] = None,
) -> None:
    """Write one page that shows a study: it needs no network, and no other file."""
    from distmerge.report import markdown, page, study_report, write_drawings

    if serve:
        _refuse_files(to, png, as_markdown=as_markdown)
        _serve(root, study, _PORT if port is None else port)
        return
    if port is not None:
        raise ConfigError("--port is where --serve listens; add --serve, or leave --port out")
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


def _refuse_files(to: Path | None, png: Path | None, *, as_markdown: bool) -> None:
    given = {"-o": to, "--png": png, "--markdown": as_markdown or None}
    asked = [option for option, value in given.items() if value is not None]
    if asked:
        raise ConfigError(f"--serve writes no file; leave out {', '.join(asked)}")


def _serve(root: str, study: str | None, port: int) -> None:
    from distmerge.report import LiveReport

    live = LiveReport(root, study, port)
    ERR.print(f"serving   {live.address}   Ctrl-C ends it", highlight=False, soft_wrap=True)
    try:
        live.follow()
    except KeyboardInterrupt:
        ERR.print("ended", highlight=False)


def _say(what: str, path: Path) -> None:
    ERR.print(f"{what}   {path}", highlight=False, soft_wrap=True)
