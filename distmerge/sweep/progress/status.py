"""What a sweep does, told from its storage alone: lease, account and rows."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from distmerge.methods import HYPERS
from distmerge.results import REFERENCES, RunStore, best, last_attempts
from distmerge.spec import Frozen, load_study
from distmerge.sweep.progress.account import Account, RunAccount, accounts, find_account
from distmerge.sweep.progress.lease import Holder, find_holder

if TYPE_CHECKING:
    import pandas as pd

State = Literal["running", "finished", "stopped", "failed", "lost", "unknown"]


class BestRun(Frozen):
    """The run that the leaderboard would show first by score."""

    run_id: str
    method: str
    score: float
    accuracy: float


class Status(Frozen):
    """A study's sweep, as of now."""

    study: str
    results: str
    state: State
    """lost: its driver is gone without a word; unknown: no driver has said anything here."""
    ending: str | None = None
    """How it ended, in a line."""
    host: str | None = None
    """Of the driver that runs or ran it."""
    pid: int | None = None
    since: datetime | None = None
    seen_s: float | None = None
    """Seconds since a running driver last renewed its lease, or another wrote its account."""
    phase: str | None = None
    features: tuple[int, int] | None = None
    """Made, of those that the caches lacked."""
    total: int | None = None
    """Runs that are done or to be done."""
    done: int
    """Runs that ended well."""
    failed: int
    pruned: int
    running: tuple[RunAccount, ...] = ()
    eta_s: float | None = None
    best: BestRun | None


def sweep_status(place: str, study: str | None = None) -> Status:
    """Give what the sweep of a study does; no process is asked.

    Args:
        place: a study file, or the folder or URL of a results dataset.
        study: which, if the dataset holds several.

    Raises:
        ConfigError: the study file is wrong, or several studies are there and none is named.
        ResultsError: there are no results yet, or they cannot be read.
    """
    if place.endswith((".yaml", ".yml")):
        content = load_study(Path(place), [], HYPERS)
        place, study = content.storage, study or content.study
    store = RunStore(place, HYPERS)
    name = store.chosen_study(study, accounts(store))
    holder = find_holder(store, name)  # before the account, which a driver ends before its lease
    account = find_account(store, name)
    holder = None if holder is None or holder.is_gone() else holder
    if account and holder and account.since < holder.since:
        account = None  # the last driver's; the new one has not said anything yet
    if account and account.ending:
        holder = None
    rows = store.records(name)
    known = {} if account is None else _known(account, is_running=holder is not None)
    seen = {} if holder is None else {**_driver(holder), "seen_s": _age_s(holder.seen)}
    state = "running" if holder else _state(account)
    return Status(
        study=name,
        results=store.place,
        state=state,
        best=_best(rows),
        **{**known, **_counts(rows), **seen},
    )


def _known(account: Account, *, is_running: bool) -> dict[str, Any]:
    """Give what the account tells; what was to come is of a driver that is there alone."""
    told = {name: getattr(account, name) for name in ("phase", "features", "total", "ending")}
    told |= {**_driver(account), "seen_s": _age_s(account.written_at)}
    if not is_running:
        return told
    eta_s = account.eta_s and max(0.0, account.eta_s - _age_s(account.written_at))
    return {**told, "running": account.running, "eta_s": eta_s}


def _driver(known: Holder | Account) -> dict[str, Any]:
    return {name: getattr(known, name) for name in ("host", "pid", "since")}


def _age_s(moment: datetime) -> float:
    return (datetime.now(UTC) - moment).total_seconds()


def _state(account: Account | None) -> State:
    if account is None:
        return "unknown"
    if account.ending is None:
        return "lost"
    words: dict[str, State] = {"finished": "finished", "stopped": "stopped"}
    return words.get(account.ending, "failed")


def _counts(rows: "pd.DataFrame") -> dict[str, int]:
    runs = last_attempts(rows).drop_duplicates("run_id")
    counted = runs[~runs["method"].isin(REFERENCES)]["status"].astype(str).value_counts()
    words = {"ok": "done", "error": "failed", "pruned": "pruned"}
    return {word: int(counted.get(status, 0)) for status, word in words.items()}


def _best(rows: "pd.DataFrame") -> BestRun | None:
    is_run = (rows["status"] == "ok") & ~rows["method"].isin(REFERENCES)
    if not is_run.any():
        return None
    found = best(rows).reset_index()
    names = ["run_id", "method", "score", "accuracy"]
    return BestRun.model_validate(found.iloc[0][names].to_dict()) if len(found) else None
