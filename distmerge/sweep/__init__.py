"""Takes a study; gives its results dataset, leaderboard and best model."""

from distmerge.sweep.main import SweepResult, run_sweep
from distmerge.sweep.plan import plan_lines

__all__ = ["SweepResult", "plan_lines", "run_sweep"]
