"""Takes files, stages and images; gives merged models and their numbers, here and without Ray.

What a notebook asks for. Everything is at hand as ``distmerge.NAME``.
"""

from distmerge.api.asked import Data, Options, PathLike, Stage
from distmerge.api.exported import evaluate
from distmerge.api.merged import Merged
from distmerge.api.models import Models, merge, open_models, open_study, run_study

__all__ = [
    "Data",
    "Merged",
    "Models",
    "Options",
    "PathLike",
    "Stage",
    "evaluate",
    "merge",
    "open_models",
    "open_study",
    "run_study",
]
