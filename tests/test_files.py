from pathlib import Path

import pytest

from distmerge.files import whole_file


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
