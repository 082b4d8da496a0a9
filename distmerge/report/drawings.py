"""Figures for papers: PNG files by matplotlib."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distmerge.errors import ConfigError
from distmerge.report.content import Figure, Kind, Report
from distmerge.report.palette import COLOURS, MARKERS, SHADES, Look, looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _HEIGHT = 6.5, 3.6  # inches: the text of a page is so wide
_ROW = 0.24
_DPI = 300
_LETTERS = 80  # of a title, in one line
_INK = "black"
_MANY = 40  # columns of a heat map; more do not get a label each
_PANELS = 4  # of clouds, abreast


def write_drawings(report: Report, folder: Path) -> list[Path]:
    """Write every figure as ``FOLDER/STUDY-FIGURE.png``, 300 dots per inch; give the files.

    Raises:
        ConfigError: matplotlib is not installed, or the folder cannot be written.
    """
    try:
        from matplotlib.figure import Figure as Canvas
    except ImportError as error:
        raise ConfigError("figures need matplotlib: pip install 'distmerge[report]'") from error
    files = [folder / f"{report.study}-{figure.slug}.png" for figure in report.figures]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for figure, file in zip(report.figures, files, strict=True):
            canvas = Canvas(figsize=(_WIDTH, _height(figure)), layout="constrained")
            axes = canvas.add_subplot()
            title = textwrap.fill(_plain(figure.title), _LETTERS)
            axes.set_title(title, fontsize=9, loc="left")
            axes.tick_params(labelsize=8)
            axes.spines[["top", "right"]].set_visible(False)
            _KINDS[figure.kind](figure, axes)
            canvas.savefig(file, dpi=_DPI)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot write figures ({error.strerror})") from error
    return files


def _height(figure: Figure) -> float:
    legend = 0 if _names_itself(figure) else 0.18 * len(set(figure.frame.get("series", ()))) / 2
    if figure.kind not in {"dots", "heat", "bars"}:
        return _HEIGHT + legend
    return min(40.0, 1.2 + _ROW * figure.frame["label"].nunique() + legend)


def _plain(text: str) -> str:
    return text.replace("$", r"\$")  # else matplotlib reads formulas


def _names_itself(figure: Figure) -> bool:
    if figure.kind not in {"dots", "bars"}:
        return False
    return figure.kind == "bars" or list(figure.frame["series"]) == list(figure.frame["label"])


def _style(look: Look) -> dict[str, Any]:
    return {"color": look.colour or _INK, "marker": MARKERS[look.shape], "markersize": 5}


def _rows(axes: "Axes", names: Sequence[str]) -> dict[str, int]:
    axes.set_yticks(range(len(names)), [_plain(str(name)) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    return {name: row for row, name in enumerate(names)}


def _legend(axes: "Axes", figure: Figure) -> None:
    if not _names_itself(figure):
        axes.figure.legend(loc="outside lower center", ncols=3, fontsize=7, frameon=False)


def _dots(figure: Figure, axes: "Axes") -> None:
    frame = figure.frame
    place = _rows(axes, list(dict.fromkeys(frame["label"])))
    for name, look in looks(figure.series, list(frame["series"])).items():
        own = frame[frame["series"] == name]
        rows = own["label"].map(place)
        spread = 100 * own["spread"].fillna(0)
        label = _plain(name)
        axes.errorbar(
            100 * own["value"], rows, xerr=spread, linestyle="", label=label, **_style(look)
        )
    axes.grid(axis="x", linewidth=0.4)
    axes.set_xlabel(figure.x, fontsize=8)
    _legend(axes, figure)


def _lines(figure: Figure, axes: "Axes") -> None:
    frame = figure.frame
    steps = list(dict.fromkeys(frame["label"]))
    for name, look in looks(figure.series, list(frame["series"])).items():
        own = frame[frame["series"] == name]
        places = own["label"].map(steps.index)
        line = (0, look.dash if len(look.dash) > 1 and look.dash[1] else ())
        axes.plot(
            places, 100 * own["value"], linestyle=line, label=_plain(name), lw=1.2, **_style(look)
        )
    axes.set_xticks(range(len(steps)), steps)
    axes.set_ylabel(figure.y, fontsize=8)
    axes.grid(axis="y", linewidth=0.4)
    _legend(axes, figure)


def _points(figure: Figure, axes: "Axes") -> None:
    frame = figure.frame
    front = frame[frame["front"]].sort_values("x")
    axes.step(front["x"], 100 * front["value"], where="post", color=_INK, ls="--", lw=0.8)
    for name, look in looks(figure.series, list(frame["series"])).items():
        own = frame[frame["series"] == name]
        axes.plot(own["x"], 100 * own["value"], linestyle="", label=_plain(name), **_style(look))
    if (frame["x"] > 0).all():
        axes.set_xscale("log")
        for axis_format in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            axis_format("{x:,.0f}")
    axes.set_xlabel(figure.x, fontsize=8)
    axes.set_ylabel(figure.y, fontsize=8)
    axes.grid(linewidth=0.4)
    _legend(axes, figure)


def _bars(figure: Figure, axes: "Axes") -> None:
    frame = figure.frame
    names = list(frame["label"])
    known = looks(figure.series, list(frame["series"]))
    colours = [known[name].colour or _INK for name in frame["series"]]
    _rows(axes, names)
    axes.barh(range(len(names)), 100 * frame["value"], color=colours)
    axes.set_xlim(right=100)
    axes.set_xlabel(figure.x, fontsize=8)


def _curves(figure: Figure, axes: "Axes") -> None:
    frame = figure.frame
    for name, look in looks(figure.series, list(frame["series"])).items():
        own = frame[frame["series"] == name]
        line = (0, look.dash if len(look.dash) > 1 and look.dash[1] else ())
        for number, (_, part) in enumerate(own.groupby("part", sort=False)):
            label = None if number else _plain(name)
            style = {**_style(look), "markersize": 3}
            axes.plot(part["x"], part["value"], linestyle=line, label=label, lw=1.0, **style)
    axes.set_xlabel(figure.x, fontsize=8)
    axes.set_ylabel(figure.y, fontsize=8)
    axes.grid(linewidth=0.4)
    _legend(axes, figure)


def _heat(figure: Figure, axes: "Axes") -> None:
    frame = figure.frame
    if figure.frames:
        frame = frame[frame["frame"] == figure.frames[-1]]
    wide = frame.pivot_table(index="label", columns="place", values="value", sort=False)
    names = list(wide.index)
    picture = axes.imshow(wide.to_numpy(), aspect="auto", cmap=SHADES, interpolation="nearest")
    _rows(axes, names)
    places = frame.drop_duplicates("place")
    titles = places.get("block", places["place"]).astype(str).reset_index(drop=True)
    starts = titles[titles != titles.shift()]
    if "block" in frame or len(titles) < _MANY:
        axes.set_xticks(starts.index, map(_plain, starts), rotation=30, ha="right", fontsize=7)
    axes.set_xlabel(figure.x, fontsize=8)
    bar = axes.figure.colorbar(picture, ax=axes, shrink=0.9)
    bar.set_label(figure.shade, fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _clouds(figure: Figure, axes: "Axes") -> None:
    """Draw the panels as squares of one plane, each with its own scale."""
    frame, corner = figure.frame.copy(), {}
    for number, (label, panel) in enumerate(frame.groupby("label", sort=False)):
        corner[label] = (number % _PANELS * 1.15, -(number // _PANELS) * 1.25)
        for name, shift in zip(("x", "value"), corner[label], strict=True):
            low, high = panel[name].min(), panel[name].max()
            frame.loc[panel.index, name] = (panel[name] - low) / ((high - low) or 1) + shift
    for name, look in looks(figure.series, list(figure.series)).items():
        own = frame[frame["series"] == name]
        style = {**_style(look), "markersize": 2}
        axes.plot(own["x"], own["value"], linestyle="", alpha=0.7, label=_plain(name), **style)
    for label, (x, y) in corner.items():
        axes.text(x, y + 1.04, _plain(str(label)), fontsize=7)
    axes.set_axis_off()
    _legend(axes, figure)


def _parallel(figure: Figure, axes: "Axes") -> None:
    frame = figure.frame
    names = list(dict.fromkeys(frame["axis"]))
    low, high = frame["value"].min(), frame["value"].max()
    for _, own in frame.groupby("label", sort=False):
        places = own["axis"].map(names.index)
        strength = 0.35 + 0.65 * (own["value"].iloc[0] - low) / ((high - low) or 1)
        axes.plot(places, own["position"], color=COLOURS[0], alpha=strength, linewidth=1.2)
    for row in frame[frame["text"] != ""].itertuples():
        place = (names.index(row.axis), row.position)
        axes.annotate(_plain(str(row.text)), place, (3, 2), textcoords="offset points", fontsize=7)
    axes.set_xticks(range(len(names)), [_plain(name) for name in names])
    axes.set_yticks([])
    axes.grid(axis="x", linewidth=0.4)


_KINDS: Mapping[Kind, Callable[[Figure, "Axes"], None]] = {
    "dots": _dots,
    "lines": _lines,
    "curves": _curves,
    "heat": _heat,
    "points": _points,
    "clouds": _clouds,
    "bars": _bars,
    "parallel": _parallel,
}
