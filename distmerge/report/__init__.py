"""Takes a study's results; gives its leaderboard for the terminal, and its report.

A report is one HTML page, Markdown, or figures for papers.
"""

from distmerge.report.content import Report
from distmerge.report.drawings import write_drawings
from distmerge.report.live import LiveReport
from distmerge.report.markdown import markdown
from distmerge.report.page import page
from distmerge.report.render import leaderboard_json, render_leaderboard
from distmerge.report.study import study_report

__all__ = [
    "LiveReport",
    "Report",
    "leaderboard_json",
    "markdown",
    "page",
    "render_leaderboard",
    "study_report",
    "write_drawings",
]
