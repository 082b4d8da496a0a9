"""Merge K fine-tuned CLIP image towers into one multi-task model, on a Ray cluster."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distmerge.api import (
        Merged,
        Models,
        evaluate,
        merge,
        open_models,
        open_study,
        run_study,
    )
    from distmerge.artefact import load
    from distmerge.results import leaderboard
    from distmerge.results import load as read_results

__version__ = "0.1.0"

__all__ = [
    "Merged",
    "Models",
    "__version__",
    "evaluate",
    "leaderboard",
    "load",
    "merge",
    "open_models",
    "open_study",
    "read_results",
    "run_study",
]

_PLACES = {
    **dict.fromkeys(__all__, ("distmerge.api", "")),
    "leaderboard": ("distmerge.results", ""),
    "load": ("distmerge.artefact", ""),
    "read_results": ("distmerge.results", "load"),
}


def __getattr__(name: str) -> object:
    """Give a public name when it is first asked for: most of them import torch.

    Raises:
        AttributeError: there is no such name.
    """
    if name not in __all__:
        raise AttributeError(f"module 'distmerge' has no attribute {name!r}")
    module, there = _PLACES[name]
    return getattr(importlib.import_module(module), there or name)


def __dir__() -> list[str]:
    """Give the public names too that were not asked for yet."""
    return sorted({*globals(), *__all__})
