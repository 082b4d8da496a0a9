"""Takes a study; gives its results dataset, leaderboard and best model."""

from distmerge.sweep.export.export import export_run
from distmerge.sweep.main import SweepResult, run_sweep
from distmerge.sweep.plan.plan import plan_lines
from distmerge.sweep.progress.status import Status, sweep_status
from distmerge.sweep.signals import Terminated

__all__ = [
    "Status",
    "SweepResult",
    "Terminated",
    "export_run",
    "plan_lines",
    "run_sweep",
    "sweep_status",
]
