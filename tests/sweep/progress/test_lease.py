import os
import shutil
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from distmerge.errors import ResultsError
from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.sweep.progress import lease as module
from distmerge.sweep.progress.lease import STALE_S, Holder, lease, refuse_second

NAME = "_studies/tiny.lease"


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(str(tmp_path), HYPERS)


def held_by(store: RunStore, *, host: str, pid: int, seen_s: float = 0) -> Holder:
    seen = datetime.now(UTC) - timedelta(seconds=seen_s)
    holder = Holder(token="other", host=host, pid=pid, since=seen, seen=seen)
    store.write_file(NAME, holder.model_dump_json().encode())
    return holder


def holder(store: RunStore) -> Holder:
    return Holder.model_validate_json(store.find_file(NAME))


def test_a_study_is_held_and_given_back(store: RunStore) -> None:
    with lease(store, "tiny"):
        assert holder(store).pid == os.getpid()
        assert holder(store).host == socket.gethostname()
    assert store.find_file(NAME) == b""


def test_a_study_is_given_back_by_a_driver_that_fails(store: RunStore) -> None:
    with pytest.raises(KeyboardInterrupt), lease(store, "tiny"):
        raise KeyboardInterrupt
    assert store.find_file(NAME) == b""


def test_a_storage_that_fails_at_the_end_hides_no_other_error(
    store: RunStore, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt), lease(store, "tiny"):
        lose(tmp_path / "_studies", KeyboardInterrupt())


def test_a_storage_that_fails_at_the_end_takes_nothing_from_a_finished_sweep(
    store: RunStore, tmp_path: Path
) -> None:
    with lease(store, "tiny"):
        lose(tmp_path / "_studies")
    with pytest.raises(ResultsError, match="cannot read"):
        store.find_file(NAME)


def lose(folder: Path, then: BaseException | None = None) -> None:
    """Put a file where a folder is: nothing in it can be read or written."""
    shutil.rmtree(folder)
    folder.write_text("")
    if then:
        raise then


def test_another_study_is_not_held(store: RunStore) -> None:
    with lease(store, "tiny"), lease(store, "other"):
        pass


def test_a_study_held_elsewhere_is_refused_by_name(store: RunStore) -> None:
    held_by(store, host="elsewhere", pid=7, seen_s=5)
    with (
        pytest.raises(ResultsError, match=r"by process 7 on elsewhere since .* \(seen 5 s ago\)"),
        lease(store, "tiny"),
    ):
        pass
    assert holder(store).token == "other"


def test_a_study_held_by_a_living_process_here_is_refused(store: RunStore) -> None:
    held_by(store, host=socket.gethostname(), pid=os.getppid())
    with pytest.raises(ResultsError, match=f"by process {os.getppid()} on"):
        refuse_second(store, "tiny")


def test_a_dead_process_here_holds_nothing(store: RunStore) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(60)
    held_by(store, host=socket.gethostname(), pid=process.pid)
    with lease(store, "tiny"):
        assert holder(store).pid == os.getpid()


def test_a_holder_that_has_been_silent_for_long_holds_nothing(store: RunStore) -> None:
    held_by(store, host="elsewhere", pid=7, seen_s=STALE_S + 1)
    with lease(store, "tiny"):
        assert holder(store).pid == os.getpid()


def test_a_holder_keeps_saying_that_it_is_there(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BEAT_S", 0.01)
    with lease(store, "tiny"):
        first = holder(store)
        while holder(store).seen == first.seen:
            assert datetime.now(UTC) - first.seen < timedelta(seconds=10)
        assert holder(store).since == first.since


def test_what_another_took_over_is_left_to_it(store: RunStore) -> None:
    with lease(store, "tiny"):
        held_by(store, host="elsewhere", pid=7)
    assert holder(store).token == "other"


def test_a_file_of_another_version_holds_nothing(store: RunStore) -> None:
    store.write_file(NAME, b'{"later": 1}')
    with lease(store, "tiny"):
        assert holder(store).pid == os.getpid()
