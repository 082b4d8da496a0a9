import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from distmerge import files
from distmerge.files import locked, remove_leftovers, whole_file

_HOLDER = """
import sys, time
from pathlib import Path
from distmerge.files import locked
with locked(Path(sys.argv[1]), wait_s=10.0):
    print("held", flush=True)
    time.sleep(30)
"""


def test_a_file_appears_at_the_end_in_place_of_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    for content in ("old", "new"):
        with whole_file(path) as unfinished:
            unfinished.write_text(content)
            assert unfinished != path
        assert path.read_text() == content
    assert list(path.parent.iterdir()) == [path]


def test_after_an_error_the_older_file_stands_and_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="no space"):
        _stop_half_way(path)
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def _stop_half_way(path: Path) -> None:
    with whole_file(path) as unfinished:
        unfinished.write_text("half")
        raise OSError("no space")


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[int]:
    """Another process that holds the lock ``lock``; its id."""
    command = [sys.executable, "-c", _HOLDER, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process.pid
        process.kill()


@pytest.mark.usefixtures("holder")
def test_a_lock_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    start = time.monotonic()
    with locked(tmp_path / "lock", wait_s=0.3):
        assert 0.3 <= time.monotonic() - start < 5


def test_after_some_seconds_it_is_said_who_is_waited_for(
    holder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(files, "_QUIET_S", 0.1)
    with locked(tmp_path / "lock", wait_s=0.5) as held:
        assert not held
    (message,) = caplog.messages
    assert f"waiting for process {holder} on " in message
    assert str(tmp_path / "lock") in message


def test_what_a_killed_process_left_is_removed_by_who_holds_the_lock(tmp_path: Path) -> None:
    left, lock = tmp_path / ".made.npy.0123.tmp", tmp_path / ".made.npy.lock"
    (tmp_path / ".made.npy.abcd" / "made").mkdir(parents=True)
    (tmp_path / ".other.npy.0123.tmp").touch()
    left.touch()
    with locked(lock, wait_s=5.0) as held:
        remove_leftovers(tmp_path / "made.npy", held=False)
        assert left.exists()
        remove_leftovers(tmp_path / "made.npy", held=held)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [".made.npy.lock", ".other.npy.0123.tmp"]


def test_a_lock_goes_with_a_killed_process(holder: int, tmp_path: Path) -> None:
    os.kill(holder, signal.SIGKILL)
    start = time.monotonic()
    with locked(tmp_path / "lock", wait_s=20.0):
        assert time.monotonic() - start < 5


def test_where_there_are_no_locks_nobody_waits() -> None:
    with locked(Path("/dev/null"), wait_s=0.2):
        pass
