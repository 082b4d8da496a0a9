"""Which attempt at a run counts."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def last_attempts(rows: "pd.DataFrame") -> "pd.DataFrame":
    """Give the rows of every run's attempt that counts: its last ok one, else its last one.

    Rows keep their order, so a run that was repeated is counted once.
    """
    attempts = rows[["run_id", "attempt", "status"]].drop_duplicates()
    ranked = attempts.assign(ok=attempts["status"] == "ok").sort_values(["ok", "attempt"])
    last = ranked.drop_duplicates("run_id", keep="last")
    return rows.merge(last[["run_id", "attempt"]], on=["run_id", "attempt"])
