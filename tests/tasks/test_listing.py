import os
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

from distmerge.errors import DataError
from distmerge.tasks.listing import class_names, listed, readable, version_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b/2.png", "a/1.png", "a/.hidden.png", ".git/3.png", "__MACOSX/4.png", "c.txt"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "data"


def names_at(location: str | Path) -> list[str]:
    return [file.name for file in listed(str(location)).files]


def test_files_below_a_folder_are_sorted_and_hidden_ones_left_out(folder: Path) -> None:
    assert names_at(folder) == ["c.txt", "a/1.png", "b/2.png"]


def test_a_location_may_be_one_file_or_a_glob(folder: Path) -> None:
    assert names_at(folder / "a" / "1.png") == ["1.png"]
    assert names_at(f"{folder}/*/*.png") == ["a/1.png", "b/2.png"]


def test_linked_folders_are_followed(folder: Path) -> None:
    (folder.parent / "linked").symlink_to(folder)
    (folder / "d").symlink_to(folder / "a")
    assert names_at(folder.parent / "linked") == ["c.txt", "a/1.png", "b/2.png", "d/1.png"]


def test_a_url_gives_the_same_names(folder: Path) -> None:
    memory = fsspec.filesystem("memory")
    for file in listed(str(folder)).files:
        memory.pipe(f"/listing/{file.name}", Path(file.path).read_bytes())
    assert sorted(names_at("memory://listing")) == ["a/1.png", "b/2.png", "c.txt"]
    assert names_at("memory://listing/*/*.png") == ["a/1.png", "b/2.png"]
    assert names_at("memory://listing/a/1.png") == ["1.png"]
    listing = listed("memory://listing/c.txt")
    assert listing.read(listing.files[0]) == b"c.txt"


@pytest.mark.parametrize("name", ["nothing", "nothing-*.png"])
@pytest.mark.parametrize("root", ["{folder}", "memory://nowhere"])
def test_a_location_that_is_not_there_is_named(root: str, name: str, folder: Path) -> None:
    location = f"{root.format(folder=folder)}/{name}"
    with pytest.raises(DataError, match=r"nothing.*: no such file or folder"):
        listed(location)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no files"):
        listed(str(tmp_path))


@pytest.mark.parametrize("location", ["nosuchscheme://bucket", "s3://"])
def test_a_scheme_that_cannot_be_used_is_an_error(location: str) -> None:
    with pytest.raises(DataError, match=location):
        listed(location)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError("denied"), "x: no permission to read it"),
        (FileNotFoundError("gone"), "x: no such file or folder"),
        (ImportError("install s3fs"), "x: install s3fs; install its fsspec package"),
        (OSError("broken"), r"x: cannot read it \(broken\)"),
        (DataError("said already"), "^said already$"),
    ],
)
def test_what_a_file_system_says_is_passed_on(error: Exception, message: str) -> None:
    with pytest.raises(DataError, match=message), readable("x"):
        raise error


def test_the_digest_is_that_of_names_and_contents(folder: Path, tmp_path: Path) -> None:
    before = listed(str(folder)).content_digest(tmp_path)
    os.utime(folder / "c.txt", (0, 0))
    assert listed(str(folder)).content_digest(tmp_path) == before
    (folder / "c.txt").write_text("other")
    changed = listed(str(folder)).content_digest(tmp_path)
    (folder / "c.txt").rename(folder / "d.txt")
    assert len({before, changed, listed(str(folder)).content_digest(tmp_path)}) == 3


def test_unchanged_files_are_not_read_again(folder: Path, tmp_path: Path) -> None:
    before = listed(str(folder)).content_digest(tmp_path)
    again = listed(str(folder))
    (folder / "c.txt").unlink()
    assert again.content_digest(tmp_path) == before


def test_files_of_unknown_version_are_read_again(folder: Path, tmp_path: Path) -> None:
    listing = listed(str(folder))
    unknown = replace(listing, files=tuple(f._replace(version="") for f in listing.files))
    before = unknown.content_digest(tmp_path / "cache")
    (folder / "c.txt").write_text("C.TXT")
    assert unknown.content_digest(tmp_path / "cache") != before


@pytest.mark.parametrize("name", ["ETag", "blob_id", "last_modified", "updated", "md5Hash"])
def test_the_version_of_a_remote_file_is_what_its_system_calls_it(name: str) -> None:
    versions = {version_of({"size": 5, name: value}) for value in ("a", "b")}
    assert len(versions - {""}) == 2
    assert version_of({"size": 5, name: None}) == ""


def test_broken_json_of_class_names_is_named(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text("[")
    with pytest.raises(DataError, match=r"classes\.json: no JSON list of class names"):
        class_names(str(tmp_path / "classes.json"))


def test_a_folder_below_that_may_not_be_read_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.chmod(0o755)
    (folder / "b").chmod(0o000)
    monkeypatch.chdir(folder)  # the folders above may be closed to others
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may read everything
    try:
        with pytest.raises(DataError, match=r"^\.: no permission to read it .*'\./b'"):
            listed(".")
    finally:
        os.seteuid(user)
        (folder / "b").chmod(0o755)


def test_the_signature_of_a_url_is_not_shown() -> None:
    signed = "https://host/data?X-Amz-Signature=hidden"
    with pytest.raises(DataError, match="https://host/data") as caught, readable(signed):
        raise FileNotFoundError(signed)
    assert "hidden" not in str(caught.value)
