"""Small archives and pictures, in the forms in which packages carry them."""

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def tarball(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write files as npm packs them."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def icons(path: Path, bodies: Mapping[str, str], **more: object) -> Path:
    """Write a collection of icons of 10 x 10 as Iconify packs it, with its metadata."""
    content = {
        "prefix": "toy",
        "width": 10,
        "height": 10,
        "icons": {name: {"body": body} for name, body in bodies.items()},
        "aliases": more.pop("aliases", {}),
    }
    return tarball(
        path,
        {
            "package/icons.json": json.dumps(content).encode(),
            "package/metadata.json": json.dumps(more).encode(),
        },
    )


def square(colour: str) -> str:
    """Give the body of an icon that is one colour all over."""
    return f'<rect width="10" height="10" fill="{colour}"/>'


def png(pixels: np.ndarray) -> bytes:
    """Give pixels as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
