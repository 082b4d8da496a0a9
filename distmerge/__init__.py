"""Merge K fine-tuned CLIP image towers into one multi-task model, on a Ray cluster."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distmerge.artefact import load

__version__ = "0.1.0"

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> object:
    """Give a public name when it is first asked for: it imports torch and open_clip.

    Raises:
        AttributeError: there is no such name.
    """
    if name != "load":
        raise AttributeError(f"module 'distmerge' has no attribute {name!r}")
    from distmerge.artefact import load

    return load
