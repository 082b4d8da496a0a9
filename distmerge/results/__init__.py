"""Takes records of runs; gives a Parquet dataset, local or on S3, and answers from its rows.

Questions are asked of ``load(root)``: ``leaderboard``, ``best``, ``pareto``, ``ablation``,
``compare``, ``hyperparameter_effect``, or of ``runs``, one row per run.
"""

from distmerge.results.attempts import last_attempts
from distmerge.results.check import check
from distmerge.results.collapse import ADAPT, MEAN, suspicions
from distmerge.results.effect import hyperparameter_effect
from distmerge.results.files import Folder, open_folder, patiently
from distmerge.results.leaderboard import leaderboard, suite_columns, task_columns
from distmerge.results.queries import ablation, best, compare, pareto
from distmerge.results.reading import load
from distmerge.results.record import Metric, RunRecord, Status
from distmerge.results.row_file import Finding
from distmerge.results.runs import INPUTS, REFERENCES, SUITE_PREFIX, runs
from distmerge.results.schema import record_rows
from distmerge.results.store import RunStore, picture_name

__all__ = [
    "ADAPT",
    "INPUTS",
    "MEAN",
    "REFERENCES",
    "SUITE_PREFIX",
    "Finding",
    "Folder",
    "Metric",
    "RunRecord",
    "RunStore",
    "Status",
    "ablation",
    "best",
    "check",
    "compare",
    "hyperparameter_effect",
    "last_attempts",
    "leaderboard",
    "load",
    "open_folder",
    "pareto",
    "patiently",
    "picture_name",
    "record_rows",
    "runs",
    "suite_columns",
    "suspicions",
    "task_columns",
]
