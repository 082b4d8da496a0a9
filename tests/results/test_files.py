import subprocess
import sys
from pathlib import Path

import pytest

from distmerge.errors import ResultsError, UnavailableError
from distmerge.results.files import open_folder, patiently


def test_a_file_is_replaced_as_a_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    folder = open_folder(str(tmp_path))
    path = f"{folder.root}/a/b.bin"
    folder.write(path, b"first")
    folder.write(path, b"second")
    assert folder.read(path) == b"second"
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b.bin"]


def test_only_finished_parquet_files_are_listed(tmp_path: Path) -> None:
    folder = open_folder(str(tmp_path))
    for name in ("b.parquet", "a.parquet", ".c.parquet", "d.parquet.unfinished", "e.txt"):
        (tmp_path / name).touch()
    names = [Path(path).name for path in folder.parquet_files(folder.root)]
    assert names == ["a.parquet", "b.parquet"]


def test_a_folder_that_does_not_exist_holds_nothing_and_is_not_made(tmp_path: Path) -> None:
    folder = open_folder(str(tmp_path / "absent"))
    assert folder.parquet_files(folder.root) == []
    assert not (tmp_path / "absent").exists()


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"absent\.bin: cannot read"):
        open_folder(str(tmp_path)).read(f"{tmp_path}/absent.bin")


def test_a_bucketless_folder_lists_its_files(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.txt").touch()
    folder = open_folder(str(tmp_path))
    assert folder.files(folder.root) == [f"{folder.root}/a/b.txt"]


def test_what_may_recover_is_done_again_until_it_works() -> None:
    answers = iter([UnavailableError("busy"), None])

    def act() -> str:
        problem = next(answers)
        if problem:
            raise problem
        return "done"

    assert patiently(act, 5.0) == "done"


def test_patience_ends(tmp_path: Path) -> None:
    def act() -> None:
        raise UnavailableError("busy")

    with pytest.raises(UnavailableError, match="busy; tried for 0 s"):
        patiently(act, 0.0)


def test_what_will_not_recover_is_not_done_again() -> None:
    calls = []

    def act() -> None:
        calls.append(1)
        raise ResultsError("refused")

    with pytest.raises(ResultsError, match=r"^refused$"):
        patiently(act, 60.0)
    assert len(calls) == 1


PROBES = """
import sys
from distmerge.results import open_folder
for number in range(200):
    open_folder(f"{sys.argv[1]}/new/{number}").probe()
"""


def test_processes_that_probe_a_new_place_at_a_time_do_not_refuse_each_other(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", PROBES, str(tmp_path)]
    probing = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    said = [process.communicate(timeout=60)[1] for process in probing]
    assert said == [""] * 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("obstacle", ["a file", "a dangling link"])
def test_a_place_that_cannot_be_made_is_refused(tmp_path: Path, obstacle: str) -> None:
    if obstacle == "a file":
        (tmp_path / "a").write_text("")
    else:
        (tmp_path / "a").symlink_to(tmp_path / "absent")
    with pytest.raises(ResultsError, match="cannot write"):
        open_folder(f"{tmp_path}/a/b").probe()
