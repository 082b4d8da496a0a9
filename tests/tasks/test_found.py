import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from distmerge.errors import DataError
from distmerge.tasks import Found, array_digest
from distmerge.tasks.found import checked_once, file_array_digest
from tests.tasks.pictures import samples_of, write_folder

_DECODING = """
import sys
from pathlib import Path
from distmerge.spec import WholeData
from distmerge.tasks import Decoding
from distmerge.tasks.arrays import array_folder
from tests.tasks.pictures import PREPROCESS

made = []
sys.addaudithook(lambda event, args: made.append(args[0]) if event == "os.mkdir" else None)
print("ready", flush=True)
sys.stdin.readline()
folder = array_folder(WholeData(path=sys.argv[1]), Decoding(PREPROCESS, Path(sys.argv[2])))
print(sum(Path(name).name == folder.name for name in made))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.npy"
    np.save(path, np.arange(12).reshape(4, 3))
    return path


def mapped(path: Path) -> np.ndarray:
    array: np.ndarray = np.load(path, mmap_mode="r")
    return array


def test_a_file_that_did_not_change_is_not_read_again(path: Path, tmp_path: Path) -> None:
    first = file_array_digest(path, mapped(path), tmp_path / "cache")
    assert first == array_digest(mapped(path))
    unread = np.zeros((4, 3), np.int64)  # would have another digest
    assert file_array_digest(path, unread, tmp_path / "cache") == first


def test_its_beginning_has_a_digest_of_its_own(path: Path, tmp_path: Path) -> None:
    whole = file_array_digest(path, mapped(path), tmp_path / "cache")
    part = file_array_digest(path, mapped(path)[:2], tmp_path / "cache")
    assert part == array_digest(mapped(path)[:2]) != whole


def test_a_file_that_is_written_again_is_read_again(path: Path, tmp_path: Path) -> None:
    first = file_array_digest(path, mapped(path), tmp_path / "cache")
    np.save(path.with_name("b.npy"), np.ones((4, 3), np.int64))
    path.with_name("b.npy").rename(path)
    second = file_array_digest(path, mapped(path), tmp_path / "cache")
    assert second == array_digest(mapped(path)) != first


def test_a_cache_that_cannot_be_written_is_no_error(path: Path) -> None:
    found = file_array_digest(path, mapped(path), Path("/dev/null/cache"))
    assert found == array_digest(mapped(path))


def test_a_check_that_found_nothing_wrong_is_not_done_again(tmp_path: Path) -> None:
    done: list[str] = []
    for key in ("a", "a", "b"):
        checked_once(key, tmp_path, lambda key=key: done.append(key))  # type: ignore[misc]  # of the loop
    assert done == ["a", "b"]


def test_a_check_that_failed_is_done_again(tmp_path: Path) -> None:
    def check() -> None:
        raise DataError("shared")

    for _ in range(2):
        with pytest.raises(DataError, match="shared"):
            checked_once("a", tmp_path, check)


def test_roles_with_other_samples_are_named() -> None:
    driver = Found("folder", {"adapt": "aa", "report": "bb", "L1": "cc"})
    here = {"adapt": "aa", "report": "xx"}
    assert list(driver.problems(here)) == [
        "report: digest xx, expected bb",
        "L1: digest none, expected cc",
    ]


@pytest.mark.slow
def test_processes_that_start_at_once_decode_once(tmp_path: Path) -> None:
    pictures = write_folder(tmp_path / "pictures", samples_of(300))
    command = [sys.executable, "-c", _DECODING, str(pictures), str(tmp_path / "cache")]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            )
            for _ in range(3)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            process.stdin.flush()
        decoded = [process.communicate(timeout=60)[0] for process in processes]
    assert sorted(map(int, decoded)) == [0, 0, 1]
