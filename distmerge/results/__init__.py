"""Takes records of runs; gives a Parquet dataset, local or on S3, that any reader understands."""

from distmerge.results.attempts import last_attempts
from distmerge.results.collapse import ADAPT, MEAN, suspicions
from distmerge.results.record import Metric, RunRecord, Status
from distmerge.results.store import RunStore

__all__ = [
    "ADAPT",
    "MEAN",
    "Metric",
    "RunRecord",
    "RunStore",
    "Status",
    "last_attempts",
    "suspicions",
]
