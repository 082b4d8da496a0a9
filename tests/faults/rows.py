"""What must be the same however a sweep was disturbed."""

import pandas as pd

from distmerge.methods import HYPERS
from distmerge.results import RunStore, check

_OF_TIME = ["wall_s", "gpu_s", "peak_memory_bytes", "started_at", "trial_id", "attempt"]
_OF_TIME += ["git_commit"]  # somebody may commit between two sweeps
_KEYS = ["method", "run_id", "suite", "corruption", "level", "task", "metric"]
LEFT_BY_A_KILL = "left by a writer that was killed"


def final_rows(root: str, study: str = "tiny") -> pd.DataFrame:
    """Give every row of the runs that ended well, without what depends on time."""
    rows = RunStore(root, HYPERS).finished(study).drop(columns=_OF_TIME)
    return rows.sort_values(_KEYS, ignore_index=True)


def assert_same(root: str, expected: pd.DataFrame) -> str:
    """Check that a dataset holds the expected rows bit for bit, each once; give that in words."""
    rows = final_rows(root)
    pd.testing.assert_frame_equal(rows, expected, check_exact=True)
    plain = pd.read_parquet(root, filters=[("status", "==", "ok")])
    assert len(plain) == len(rows), "readers that know nothing of attempts count rows twice"
    assert unexpected(root) == []
    return f"yes, {len(rows)}"


def unexpected(root: str) -> list[str]:
    """Give what ``results check`` finds, but for files that readers skip."""
    return [str(found) for found in check(root) if found.problem != LEFT_BY_A_KILL]


def best(rows: pd.DataFrame) -> str:
    """Give the run with the highest score on the select images."""
    scores = rows[(rows["task"] == "mean") & rows["metric"].str.startswith("score:")]
    return str(scores.sort_values(["value", "run_id"], ascending=[False, True])["run_id"].iloc[0])
