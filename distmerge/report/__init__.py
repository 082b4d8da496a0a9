"""Takes rows of the results table; gives a leaderboard as a frame, a terminal table and JSON."""

from distmerge.report.leaderboard import REFERENCES, leaderboard, suite_columns, task_columns
from distmerge.report.render import leaderboard_json, render_leaderboard

__all__ = [
    "REFERENCES",
    "leaderboard",
    "leaderboard_json",
    "render_leaderboard",
    "suite_columns",
    "task_columns",
]
