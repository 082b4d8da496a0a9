"""One look per method in all figures, told apart by colour and by shape.

Colours are Paul Tol's "bright" scheme, made for colour-blind readers, for light and for dark
paper; beyond six methods they come again with another shape and another dash. References are in
the colour of the text. Shades, of coefficients and scores, are "cividis" (Nunez et al., 2018).

Source: Tol, Colour Schemes, SRON/EPS/TN/09-002, figure 2.
"""

from collections.abc import Sequence
from typing import NamedTuple

COLOURS = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#ccbb44", "#66ccee")
SHADES = "cividis"
_SHAPES = ("circle", "square", "diamond", "triangle-right", "cross")
_REFERENCES = {
    "individual": "triangle-up",
    "pretrained": "triangle-down",
    "one_expert": "triangle-left",
    "nearest_centroid": "cross",
}
_DASHES: tuple[tuple[int, ...], ...] = ((1, 0), (8, 3), (4, 2), (2, 2), (8, 3, 2, 3))
_REFERENCE_DASH = (1, 3)
MARKERS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-right": ">",
    "triangle-up": "^",
    "triangle-down": "v",
    "triangle-left": "<",
    "cross": "P",
}
"""What matplotlib calls the shapes."""


class Look(NamedTuple):
    """How a method's marks look."""

    colour: str | None
    """None: that of the text."""
    shape: str
    dash: tuple[int, ...]


def looks(series: Sequence[str], shown: Sequence[str]) -> dict[str, Look]:
    """Give the looks of what a figure shows.

    Args:
        series: all merged methods, best first.
        shown: methods and references of the figure.
    """
    places = {method: divmod(i, len(COLOURS)) for i, method in enumerate(series)}
    merged = {
        method: Look(COLOURS[hue], _SHAPES[turn % len(_SHAPES)], _DASHES[turn % len(_DASHES)])
        for method, (turn, hue) in places.items()
        if method in shown
    }
    others = [name for name in dict.fromkeys(shown) if name not in places]
    return merged | {
        name: Look(None, _REFERENCES.get(name, "circle"), _REFERENCE_DASH) for name in others
    }
