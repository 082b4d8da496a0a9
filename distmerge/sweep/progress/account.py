"""What a driver says of its sweep in the storage, for whoever asks how it goes."""

from contextlib import suppress
from datetime import datetime
from typing import Literal

from pydantic import ValidationError

from distmerge.errors import ResultsError
from distmerge.results import RunStore
from distmerge.spec import Frozen

_END = ".account"

Phase = Literal["start", "features", "runs", "ended"]


class RunAccount(Frozen):
    """A run in progress."""

    run_id: str
    method: str
    settings: str
    seconds: float
    """Since it began, as of ``written_at``."""
    problem: str | None = None
    """What it solves; None before it has said so, and in evaluation."""
    step: int | None = None
    """Of that problem."""
    steps: int | None = None
    score: float | None = None
    """The last that a check gave, of adapt images."""


class Account(Frozen):
    """A sweep as its driver saw it last."""

    host: str
    pid: int
    since: datetime
    written_at: datetime
    phase: Phase
    features: tuple[int, int] | None
    """Made, of those that the caches lacked; None where none was missing."""
    total: int | None
    """Runs that are done, or to be done; at most, where a best one is not known yet."""
    eta_s: float | None
    """Seconds to the end, as of ``written_at``; None before the first run ended."""
    running: tuple[RunAccount, ...]
    ending: str | None
    """How it ended: finished, stopped, or failed, with the error."""


def find_account(store: RunStore, study: str) -> Account | None:
    """Give what the last driver of a study said; None if there is none, or of another version.

    Raises:
        ResultsError: the storage cannot be read.
    """
    content = store.find_file(_name(study))
    try:
        return Account.model_validate_json(content) if content else None
    except ValidationError:
        return None


def accounts(store: RunStore) -> list[str]:
    """Give the names of the studies of which a driver has said something.

    Raises:
        ResultsError: the storage cannot be listed.
    """
    names = [name for name in store.file_names("_studies") if not name.startswith(".")]
    return [name.removesuffix(_END) for name in names if name.endswith(_END)]


def write_account(store: RunStore, study: str, account: Account) -> None:
    """Write what a driver says; a storage that does not answer costs that, nothing else."""
    with suppress(ResultsError):
        store.write_file(_name(study), account.model_dump_json(indent=1).encode())


def _name(study: str) -> str:
    return f"_studies/{study}{_END}"
