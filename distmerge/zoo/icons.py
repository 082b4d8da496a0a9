"""Collections of vector icons in the JSON of Iconify, rendered with resvg."""

import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

from distmerge.zoo.archives import file_content

_SIDE = 16  # Iconify's size of an icon that states none


class IconCollection:
    """The icons of one npm package, by name."""

    def __init__(self, archive: Path) -> None:
        self._content: dict[str, Any] = json.loads(file_content(archive, "package/icons.json"))

    def __contains__(self, name: str) -> bool:
        """Say whether there is an icon, or a plain other name of one."""
        return self._icon(name) is not None

    def picture(self, name: str, width: int) -> Image.Image:
        """Give an icon in RGBA, ``width`` pixels wide."""
        import resvg_py

        svg = self.svg(name)
        png = resvg_py.svg_to_bytes(svg_string=svg, width=width, skip_system_fonts=True)
        return Image.open(io.BytesIO(bytes(png))).convert("RGBA")

    def svg(self, name: str) -> str:
        """Give an icon as a document."""
        icon = self._icon(name)
        assert icon is not None, f"no icon {name}"
        left, top = icon.get("left", 0), icon.get("top", 0)
        width, height = (
            icon.get(key, self._content.get(key, _SIDE)) for key in ("width", "height")
        )
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{left} {top} {width} {height}" width="{width}" height="{height}">'
            f"{icon['body']}</svg>"
        )

    def _icon(self, name: str) -> dict[str, Any] | None:
        alias = self._content.get("aliases", {}).get(name)
        if alias is not None and set(alias) == {"parent"}:  # others turn or flip the parent
            name = alias["parent"]
        icon: dict[str, Any] | None = self._content["icons"].get(name)
        return icon


def icon_categories(archive: Path) -> dict[str, str]:
    """Give the category of every icon, as the package's metadata list them."""
    metadata = json.loads(file_content(archive, "package/metadata.json"))
    return {name: category for category, names in metadata["categories"].items() for name in names}
