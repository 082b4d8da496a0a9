from datetime import UTC, datetime
from pathlib import Path

import pytest

from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.sweep.progress.account import (
    Account,
    RunAccount,
    accounts,
    find_account,
    write_account,
)

RUN = RunAccount(run_id="r", method="surgery", settings="defaults", seconds=1.5, step=3, steps=9)
NOW = datetime(2026, 11, 22, tzinfo=UTC)
ACCOUNT = Account(
    host="node",
    pid=7,
    since=NOW,
    written_at=NOW,
    phase="runs",
    features=(3, 9),
    total=5,
    eta_s=12.5,
    running=(RUN,),
    ending=None,
)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(str(tmp_path), HYPERS)


def test_what_a_driver_says_is_found_by_study(store: RunStore) -> None:
    write_account(store, "tiny", ACCOUNT)
    assert find_account(store, "tiny") == ACCOUNT
    assert find_account(store, "other") is None
    assert accounts(store) == ["tiny"]


def test_what_another_version_said_is_nothing(store: RunStore) -> None:
    store.write_file("_studies/tiny.account", b'{"later": 1}')
    assert find_account(store, "tiny") is None


def test_other_files_of_studies_are_no_accounts(store: RunStore) -> None:
    store.write_file("_studies/tiny.json", b"{}")
    store.write_file("_studies/.tiny.account.1.tmp", b"{}")
    assert accounts(store) == []
