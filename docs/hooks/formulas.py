"""Formulas as drawings in the page: no script, no fonts to load, alike in every browser."""

import re
from html import escape, unescape

from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath

_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
_BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)
_EM = 100  # units of a drawing
_COMMANDS = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C"}


def on_page_content(html: str, **_: object) -> str:
    """Draw what `$...$` and `$$...$$` hold."""
    html = _BLOCK.sub(lambda found: f'<div class="formula">{drawn(found[1])}</div>', html)
    return _INLINE.sub(lambda found: drawn(found[1]), html)


def drawn(latex: str) -> str:
    """Give a formula as SVG in the colour of the text, its baseline on the text's.

    Raises:
        ValueError: it holds a command that matplotlib's mathtext does not know.
    """
    text = " ".join(unescape(latex).split())
    path = TextPath((0, 0), f"${text}$", _EM, prop=FontProperties(math_fontfamily="stix"))
    box = path.get_extents()
    left, top = round(box.x0) - 2, -round(box.y1) - 2
    width, height = round(box.width) + 4, round(box.height) + 4
    size = f"width:{width / _EM}em;height:{height / _EM}em;vertical-align:{-(top + height) / _EM}em"
    return (
        f'<svg class="formula" role="img" aria-label="{escape(text)}" style="{size}" '
        f'viewBox="{left} {top} {width} {height}"><path d="{_outline(path)}"/></svg>'
    )


def _outline(path: Path) -> str:
    """Give a path in SVG's words, where y points down."""
    parts = []
    for points, code in path.iter_segments(simplify=False):
        numbers = (f"{-n if i % 2 else n:.1f}" for i, n in enumerate(points))
        parts.append("Z" if code == Path.CLOSEPOLY else _COMMANDS[code] + " ".join(numbers))
    return "".join(parts)
