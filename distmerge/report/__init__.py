"""Takes a leaderboard; gives it as a terminal table and as JSON."""

from distmerge.report.render import leaderboard_json, render_leaderboard

__all__ = ["leaderboard_json", "render_leaderboard"]
