"""Figures of a page: specifications that Vega-Lite draws in the reader's browser."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from distmerge.errors import ConfigError
from distmerge.report.content import Figure, Kind
from distmerge.report.palette import COLOURS, looks
from distmerge.report.panels import INK, clouds, heat

if TYPE_CHECKING:
    import altair as alt

_CONFIG: Mapping[str, Any] = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        **dict.fromkeys(("labelColor", "titleColor", "domainColor", "tickColor"), INK),
        "gridColor": "var(--line)",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelLimit": 190,
    },
    "legend": {
        **dict.fromkeys(("labelColor", "titleColor"), INK),
        "labelFontSize": 12,
        "labelLimit": 170,
        "orient": "bottom",
        "titleFontWeight": "normal",
        "symbolSize": 70,
    },
}
_ROW, _TASK_ROW = 24, 26  # pixels
_MANY = 300  # dots; then they are smaller
# Pale colours on white paper need an edge.
_DOT: Mapping[str, Any] = {"filled": True, "stroke": INK, "strokeWidth": 0.7}
_PICKED = "chosen == '' || datum.series == chosen"


def chart(figure: Figure) -> dict[str, Any]:
    """Give the Vega-Lite specification of a figure; it names no address.

    Its parameter ``chosen`` picks out one method. The page gives it its width, and the
    ``columns`` of its legend.

    Raises:
        ConfigError: altair is not installed.
    """
    try:
        import altair as alt
    except ImportError as error:
        raise ConfigError(
            "a report's page needs altair: pip install 'distmerge[report]'"
        ) from error
    made = _KINDS[figure.kind](figure).add_params(
        alt.param(name="chosen", value=""), alt.param(name="columns", value=4)
    )
    if figure.kind != "clouds":  # several views cannot be fitted
        made = made.properties(autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
    spec: dict[str, Any] = made.to_dict(validate=False)
    spec.pop("$schema", None)  # an address
    return {**spec, "config": _CONFIG}


def _data(figure: Figure, **columns: Any) -> "alt.InlineData":
    import altair as alt

    return alt.InlineData(values=figure.frame.assign(**columns).to_dict("records"))


def _looks(figure: Figure, *, has_legend: bool = True) -> dict[str, Any]:
    """Give the encodings that tell methods apart."""
    import altair as alt

    known = looks(figure.series, list(figure.frame["series"]))
    names = list(known)
    legend = _legend() if has_legend else None
    colours = [look.colour or INK for look in known.values()]
    shapes = [look.shape for look in known.values()]
    return {
        "color": alt.Color("series:N", scale=alt.Scale(domain=names, range=colours), legend=legend),
        "shape": alt.Shape("series:N", scale=alt.Scale(domain=names, range=shapes), legend=legend),
        "opacity": alt.condition(_PICKED, alt.value(1), alt.value(0.1)),
    }


def _dash(figure: Figure) -> "alt.StrokeDash":
    import altair as alt

    known = looks(figure.series, list(figure.frame["series"]))
    return alt.StrokeDash(
        "series:N",
        scale=alt.Scale(domain=list(known), range=[list(look.dash) for look in known.values()]),
        legend=_legend(),
    )


def _legend() -> "alt.Legend":
    import altair as alt

    return alt.Legend(title=None, columns=alt.ExprRef("columns"))


def _dots(figure: Figure) -> "alt.LayerChart":
    import altair as alt

    rows = list(dict.fromkeys(figure.frame["label"]))
    own = list(figure.frame["series"]) == list(figure.frame["label"])  # one row per method
    shares = figure.frame["value"] * 100
    spreads = (figure.frame["spread"] * 100).fillna(0)
    data = _data(
        figure,
        value=shares,
        spread=spreads.map("±{:.1f}".format).where(spreads > 0, "-"),
        low=shares - spreads,
        high=shares + spreads,
    )
    encodings = _looks(figure, has_legend=not own)
    y = alt.Y("label:N", sort=rows, title=None, axis=alt.Axis(grid=not own))
    x = alt.X("value:Q", title=figure.x, scale=alt.Scale(zero=False, nice=True))
    tooltip = [
        *([] if own else [alt.Tooltip("label:N", title=figure.y)]),
        alt.Tooltip("series:N", title="method"),
        alt.Tooltip("value:Q", title=figure.x, format=".1f"),
        *([alt.Tooltip("spread:N", title="spread")] if spreads.any() else []),
    ]
    base = alt.Chart(data).properties(height=len(rows) * (_ROW if own else _TASK_ROW))
    bars = base.mark_rule(strokeWidth=2).encode(
        x=x, x2="high:Q", y=y, **{k: encodings[k] for k in ("color", "opacity")}
    )
    bars = bars.encode(x=alt.X("low:Q", title=figure.x, scale=alt.Scale(zero=False, nice=True)))
    dots = base.mark_point(size=75, **_DOT).encode(x=x, y=y, tooltip=tooltip, **encodings)
    return alt.layer(bars, dots) if spreads.any() else alt.layer(dots)


def _lines(figure: Figure) -> "alt.LayerChart":
    import altair as alt

    encodings = _looks(figure)
    dash = _dash(figure)
    steps = list(dict.fromkeys(figure.frame["label"]))
    x = alt.X("label:N", sort=steps, title=figure.x or None, axis=alt.Axis(labelAngle=0))
    y = alt.Y("value:Q", title=figure.y, scale=alt.Scale(zero=False))
    base = alt.Chart(_data(figure, value=figure.frame["value"] * 100)).properties(height=340)
    shape = encodings.pop("shape")
    lines = base.mark_line(strokeWidth=2).encode(x=x, y=y, strokeDash=dash, **encodings)
    tooltip = [
        alt.Tooltip("series:N", title="method"),
        alt.Tooltip("label:N", title="images"),
        alt.Tooltip("value:Q", title=figure.y, format=".1f"),
    ]
    dots = base.mark_point(size=60, **_DOT).encode(
        x=x, y=y, shape=shape, tooltip=tooltip, **encodings
    )
    return alt.layer(lines, dots)


def _curves(figure: Figure) -> "alt.LayerChart":
    import altair as alt

    encodings = _looks(figure)
    dash = _dash(figure)
    whole = alt.Axis(tickMinStep=1, labelOverlap=True)
    x = alt.X("x:Q", title=figure.x, scale=alt.Scale(zero=False, nice=False), axis=whole)
    y = alt.Y("value:Q", title=figure.y, scale=alt.Scale(zero=False))
    base = alt.Chart(_data(figure)).properties(height=300)
    shape = encodings.pop("shape")
    lines = base.mark_line(strokeWidth=1.6).encode(
        x=x, y=y, strokeDash=dash, detail="part:N", **encodings
    )
    tooltip = [
        alt.Tooltip("series:N", title="method"),
        *([alt.Tooltip("part:N", title="problem")] if figure.frame["part"].any() else []),
        alt.Tooltip("x:Q", title=figure.x, format=",.4~g"),
        alt.Tooltip("value:Q", title=figure.y, format=".4~g"),
    ]
    dots = base.mark_point(size=26, **_DOT).encode(
        x=x, y=y, shape=shape, tooltip=tooltip, **encodings
    )
    return alt.layer(lines, dots)


def _points(figure: Figure) -> "alt.LayerChart":
    import altair as alt

    data = _data(figure, value=figure.frame["value"] * 100)
    kind = "log" if bool((figure.frame["x"] > 0).all()) else "linear"
    x = alt.X("x:Q", title=figure.x, scale=alt.Scale(type=kind, nice=False, padding=12))
    y = alt.Y("value:Q", title=figure.y, scale=alt.Scale(zero=False))
    base = alt.Chart(data).properties(height=340)
    front = base.transform_filter("datum.front").mark_line(
        color=INK, strokeWidth=1.5, strokeDash=[4, 3], interpolate="step-after", opacity=0.6
    )
    tooltip = [
        alt.Tooltip("series:N", title="method"),
        alt.Tooltip("label:N", title="run"),
        alt.Tooltip("value:Q", title=figure.y, format=".1f"),
        alt.Tooltip("x:Q", title=figure.x, format=",.0f"),
    ]
    size = 75 if len(figure.frame) < _MANY else 20
    dots = base.mark_point(size=size, **_DOT).encode(x=x, y=y, tooltip=tooltip, **_looks(figure))
    return alt.layer(front.encode(x=x, y=y), dots)


def _bars(figure: Figure) -> "alt.Chart":
    import altair as alt

    encodings = _looks(figure, has_legend=False)
    del encodings["shape"]
    tooltip = [
        alt.Tooltip("label:N", title="setting"),
        alt.Tooltip("value:Q", title=figure.x, format=".1f"),
    ]
    names = list(figure.frame["label"])
    lowest = min(0, 100 * figure.frame["value"].min())
    data = _data(figure, value=figure.frame["value"] * 100)
    base = alt.Chart(data).mark_bar()
    return base.encode(
        x=alt.X("value:Q", title=figure.x, scale=alt.Scale(domain=[lowest, 100])),
        y=alt.Y("label:N", sort=names, title=None),
        tooltip=tooltip,
        **encodings,
    ).properties(height=len(names) * _ROW)


def _parallel(figure: Figure) -> "alt.LayerChart":
    import altair as alt

    axes = list(dict.fromkeys(figure.frame["axis"]))
    x = alt.X("axis:N", sort=axes, title=None, axis=alt.Axis(labelAngle=0, grid=True, orient="top"))
    y = alt.Y("position:Q", axis=None, scale=alt.Scale(domain=[-0.1, 1.1]))
    base = alt.Chart(_data(figure)).properties(height=300)
    # By strength, not by shade: a shade's dark end cannot be seen on dark paper.
    strength = alt.Opacity("value:Q", scale=alt.Scale(range=[0.35, 1]), legend=None)
    tooltip = [
        alt.Tooltip("label:N", title="run"),
        alt.Tooltip("value:Q", title=figure.y, format=".3f"),
    ]
    lines = base.mark_line(strokeWidth=2, color=COLOURS[0]).encode(
        x=x, y=y, detail="label:N", opacity=strength, tooltip=tooltip
    )
    texts = base.transform_filter("datum.text != ''").mark_text(
        color=INK, dx=6, dy=-7, align="left", fontSize=11
    )
    return alt.layer(lines, texts.encode(x=x, y=y, text="text:N"))


_KINDS: Mapping[Kind, Callable[[Figure], Any]] = {
    "dots": _dots,
    "lines": _lines,
    "curves": _curves,
    "heat": heat,
    "points": _points,
    "clouds": clouds,
    "bars": _bars,
    "parallel": _parallel,
}
