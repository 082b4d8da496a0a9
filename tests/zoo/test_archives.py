import shutil
import subprocess
from pathlib import Path

import pytest

from distmerge.errors import ZooError
from distmerge.zoo.archives import file_content, file_contents
from tests.zoo.packed import tarball

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is missing")


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    return tarball(tmp_path / "toy-1.tgz", {"./b/two.txt": b"2", "a/one.txt": b"1", "c.bin": b"3"})


def test_wanted_files_are_read_in_the_order_of_their_names(packed: Path) -> None:
    found = file_contents(packed, lambda name: name.endswith(".txt"))
    assert list(found.items()) == [("a/one.txt", b"1"), ("b/two.txt", b"2")]


def test_one_file_is_read_by_its_name(packed: Path) -> None:
    assert file_content(packed, "b/two.txt") == b"2"


def test_a_file_that_is_not_there_is_named(packed: Path) -> None:
    with pytest.raises(ZooError, match=r"toy-1.tgz has no file d.txt; .* another version"):
        file_content(packed, "d.txt")


@pytest.mark.parametrize("name", ["toy.tgz", pytest.param("toy.deb", marks=needs_dpkg)])
def test_a_broken_archive_is_named_with_what_to_do(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"broken")
    with pytest.raises(
        ZooError, match=rf"(?s){name} cannot be read as an archive .*; delete .* again"
    ):
        file_contents(tmp_path / name, lambda _: True)


def test_a_debian_package_needs_its_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ZooError, match=r"dpkg-deb is not installed: .*needed for toy_1_all.deb"):
        file_contents(tmp_path / "toy_1_all.deb", lambda _: True)


@needs_dpkg
def test_a_debian_package_is_read_without_installing_it(tmp_path: Path) -> None:
    tree = tmp_path / "toy"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr" / "share").mkdir(parents=True)
    control = "Package: toy\nVersion: 1\nArchitecture: all\nMaintainer: Toy <toy@example.org>\n"
    (tree / "DEBIAN" / "control").write_text(f"{control}Description: toy\n")
    (tree / "usr" / "share" / "a.txt").write_text("content")
    (tree / "usr" / "share" / "link.txt").symlink_to("elsewhere.txt")
    package = tmp_path / "toy_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", tree, package], check=True, capture_output=True)
    assert file_contents(package, lambda _: True) == {"usr/share/a.txt": b"content"}
