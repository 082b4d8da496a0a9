"""A report as one HTML file that needs no network: scripts, styles and numbers are in it."""

import json
from importlib import resources
from typing import Any

from distmerge.errors import ConfigError
from distmerge.report.charts import chart
from distmerge.report.content import Figure, Report, Table
from distmerge.report.plain import finite

_TEMPLATE, _STYLE, _SCRIPT, _LIVE = "template.html", "style.css", "page.js", "live.js"
_GLOBAL = "window.vegaEmbed = vegaEmbed;"  # what page.js needs of the bundle


def page(report: Report) -> str:
    """Give the page; every text of the study is escaped, and the browser may load nothing.

    Raises:
        ConfigError: altair or what comes with it is not installed.
    """
    return _rendered(report, version="")


def live_page(report: Report, version: str) -> str:
    """Give the page as it is served: it asks its own server alone, whether there is another.

    Raises:
        ConfigError: altair or what comes with it is not installed.
    """
    return _rendered(report, version=version)


def waiting_page(reason: str, version: str) -> str:
    """Give the page of a study that cannot be shown yet."""
    nothing = Report("waiting for results", (reason,), (), (), (), (), ())
    return _rendered(nothing, version=version)


def _rendered(report: Report, version: str) -> str:
    try:
        import jinja2
        import vl_convert
    except ImportError as error:
        raise ConfigError(
            "a report's page needs altair and vl-convert-python: pip install 'distmerge[report]'"
        ) from error
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.tests["figure"] = lambda part: isinstance(part, Figure)
    environment.tests["table"] = lambda part: isinstance(part, Table)
    specifications = {figure.slug: chart(figure) for figure in report.figures}
    return environment.from_string(_read(_TEMPLATE)).render(
        report=report,
        style=_read(_STYLE),
        script=_read(_SCRIPT),
        version=version,
        live=_read(_LIVE) if version else "",
        library=vl_convert.javascript_bundle(_GLOBAL) if specifications else "",
        specifications=_json(specifications),
    )


def _read(name: str) -> str:
    return resources.files("distmerge.report").joinpath(name).read_text(encoding="utf-8")


def _json(content: Any) -> str:
    text = json.dumps(finite(content), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", r"\u003c")  # no text can end the element that it stands in
