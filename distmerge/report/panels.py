"""Figures of a page that are not of methods side by side: heat maps and clouds of points."""

from typing import TYPE_CHECKING

import pandas as pd

from distmerge.report.content import Figure
from distmerge.report.palette import SHADES, looks

if TYPE_CHECKING:
    import altair as alt

INK = "currentColor"
_ROW, _PANEL = 24, 150  # pixels
_WIDE = 16  # columns; more do not get a label each


def heat(figure: Figure) -> "alt.Chart | alt.LayerChart":
    """Give a heat map; blocks of its columns are named above, and a slider chooses the frame."""
    import altair as alt

    frame = figure.frame
    rows, places = (list(dict.fromkeys(frame[name])) for name in ("label", "place"))
    shade = alt.Color(
        "value:Q",
        scale=alt.Scale(scheme=SHADES, domain=[frame["value"].min(), frame["value"].max()]),
        legend=alt.Legend(title=figure.shade, gradientLength=180),
    )
    x = alt.X(
        "place:O", sort=places, title=figure.x, axis=_axis(places, has_blocks="block" in frame)
    )
    tooltip = [
        alt.Tooltip("label:N", title=figure.y),
        alt.Tooltip("name:N", title=figure.cell),
        alt.Tooltip("value:Q", title=figure.shade, format=".3~f"),
    ]
    cells = alt.Chart(alt.InlineData(values=frame.to_dict("records"))).mark_rect()
    cells = cells.encode(
        x=x, y=alt.Y("label:N", sort=rows, title=None), color=shade, tooltip=tooltip
    ).properties(height=len(rows) * _ROW)
    if figure.frames:
        cells = cells.transform_filter("datum.frame == frame")
        cells = cells.add_params(alt.param(name="frame", value=figure.frames[-1]))
    if "block" not in frame:
        return cells
    return alt.layer(cells, *_blocks(frame, x))


def _axis(places: list[object], *, has_blocks: bool) -> "alt.Axis":
    import altair as alt

    if has_blocks:
        return alt.Axis(labels=False, ticks=False, domain=False)
    if isinstance(places[0], str):
        return alt.Axis(labelAngle=-30, labelLimit=110, labelOverlap=False)
    if len(places) > _WIDE:
        return alt.Axis(labelAngle=0, labelOverlap=True, values=places[::8])
    return alt.Axis(labelAngle=0)


def _blocks(frame: pd.DataFrame, x: "alt.X") -> "tuple[alt.Chart, alt.Chart]":
    """Give names above the columns of every block, and a line before its first column."""
    import altair as alt

    columns = frame.drop_duplicates("place")[["place", "block"]]
    by_block = columns.groupby("block", sort=False)["place"]
    middles = by_block.agg(lambda places: places.iloc[len(places) // 2])
    names = [{"place": int(place), "block": block} for block, place in middles.items()]
    starts = [{"place": int(place)} for place in by_block.first().iloc[1:]]
    texts = alt.Chart(alt.InlineData(values=names)).mark_text(
        color=INK, baseline="bottom", dy=-3, fontSize=11, limit=alt.ExprRef(_limit(len(names)))
    )
    rules = alt.Chart(alt.InlineData(values=starts)).mark_rule(
        color="var(--paper)", strokeWidth=1.5
    )
    edge = alt.X("place:O", sort=list(columns["place"]), bandPosition=0)
    return rules.encode(x=edge), texts.encode(x=x, y=alt.value(0), text="block:N")


def _limit(count: int) -> str:
    return f"max(14, width / {count} - 3)"  # a name does not reach into the next block


def clouds(figure: Figure) -> "alt.FacetChart":
    """Give points of several kinds, a panel for every label; the page sets how many stand abreast.

    Every panel has a scale of its own.
    """
    import altair as alt

    known = looks(figure.series, figure.series)
    names = list(known)
    colours = [look.colour for look in known.values()]
    shapes = ["circle", "square", "triangle-up"][: len(names)]
    legend = alt.Legend(title=None)
    places = [
        channel(f"{name}:Q", axis=None, scale=alt.Scale(zero=False, nice=True))
        for channel, name in ((alt.X, "x"), (alt.Y, "value"))
    ]
    points = alt.Chart(alt.InlineData(values=figure.frame.to_dict("records"))).mark_point(
        filled=True, size=22, opacity=0.75
    )
    panel = points.encode(
        *places,
        color=alt.Color("series:N", scale=alt.Scale(domain=names, range=colours), legend=legend),
        shape=alt.Shape("series:N", scale=alt.Scale(domain=names, range=shapes), legend=legend),
        tooltip=[
            alt.Tooltip("label:N", title="task"),
            alt.Tooltip("series:N", title="features"),
        ],
    ).properties(height=_PANEL, view=alt.ViewBackground(stroke="var(--line)"))
    labels = list(dict.fromkeys(figure.frame["label"]))
    header = alt.Header(labelColor=INK, labelFontSize=12)
    return panel.facet(
        facet=alt.Facet("label:N", title=None, sort=labels, header=header), columns=4
    ).resolve_scale(x="independent", y="independent")
