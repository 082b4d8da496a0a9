"""Runs that did not end well."""

from distmerge.report.content import Column, Omitted, Section, Table, duration, words
from distmerge.report.source import StudyResults

MOST_ROWS = 200
_LONGEST = 400


def failures(results: StudyResults) -> Section | Omitted:
    """Give every run that failed or was ended early, with its message."""
    title = "Failed and pruned runs"
    runs = results.rows.drop_duplicates("run_id")
    lost = runs[runs["status"] != "ok"].sort_values(["status", "method", "run_id"])
    if lost.empty:
        return Omitted(title, "every run ended well")
    failed, pruned = ((lost["status"] == status).sum() for status in ("error", "pruned"))
    shown = lost.head(MOST_ROWS)
    left_out = f" The first {MOST_ROWS} are listed." * (len(shown) < len(lost))
    messages = shown["error"].fillna("ended early: it fell behind in its label-free score")
    sentence = f"{failed} failed, {pruned} pruned, of {len(runs)} runs.{left_out}"
    table = Table(
        "Runs without a model, and why",
        (
            words("run", shown["run_id"]),
            words("method", shown["method"]),
            words("status", shown["status"]),
            Column("seed", tuple(map(str, shown["seed"]))),
            Column("steps", tuple(map(str, shown["step"]))),
            Column("time", tuple(duration(value) for value in shown["wall_s"])),
            words("message", (_cut(str(message)) for message in messages)),
        ),
    )
    return Section("failures", title, (sentence,), (table,))


def _cut(message: str) -> str:
    return message if len(message) <= _LONGEST else f"{message[:_LONGEST]} ..."
