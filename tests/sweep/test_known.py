import os
from dataclasses import replace
from pathlib import Path

import pytest

from distmerge.coordinator import Source
from distmerge.spec import ImageCounts, ModelFiles, RoleData, WholeData
from distmerge.sweep import known
from distmerge.sweep.known import known_place, remember, remembered
from tests.coordinator.sessions import session_of, source_of
from tests.texts import build_text_world


def test_digests_come_back_as_they_were(world: ModelFiles, tmp_path: Path) -> None:
    digests = session_of(world).digests
    remember(known_place(tmp_path, source_of(world), ()), digests)
    assert remembered(known_place(tmp_path, source_of(world), ())) == digests


def test_other_settings_are_not_remembered(world: ModelFiles, tmp_path: Path) -> None:
    remember(known_place(tmp_path, source_of(world), ()), session_of(world).digests)
    fewer = Source(world, ImageCounts(select=3), transductive=False)
    assert remembered(known_place(tmp_path, fewer, ())) is None
    assert remembered(known_place(tmp_path, source_of(world), ("adapt",))) is None


def test_a_file_that_is_written_again_is_not_remembered(world: ModelFiles, tmp_path: Path) -> None:
    remember(known_place(tmp_path, source_of(world), ()), session_of(world).digests)
    stat = world.base.stat()
    world.base.write_bytes(world.base.read_bytes())
    os.utime(world.base, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # the time of change tells
    assert remembered(known_place(tmp_path, source_of(world), ())) is None


@pytest.mark.parametrize(
    ("form", "changed"),
    [
        ("data/images/*.png", "images/1.png"),
        ("data/one.tar", "data/one.tar"),
        ("data", "images/1.png"),  # linked
    ],
)
def test_data_of_any_form_are_watched(
    form: str, changed: str, world: ModelFiles, tmp_path: Path
) -> None:
    folder, images = tmp_path / "data", tmp_path / "images"
    folder.mkdir()
    images.mkdir()
    (folder / "images").symlink_to(images)
    (images / "1.png").write_bytes(b"x")
    (folder / "one.tar").write_bytes(b"x")
    first, *others = world.tasks
    first = first.model_copy(update={"data": tmp_path / form})
    source = source_of(world.model_copy(update={"tasks": (first, *others)}))
    digests = session_of(world).digests
    remember(known_place(tmp_path, source, ()), digests)
    assert remembered(known_place(tmp_path, source, ())) == digests
    (tmp_path / changed).write_bytes(b"y")
    assert remembered(known_place(tmp_path, source, ())) is None


def test_described_data_are_watched_too(world: ModelFiles, tmp_path: Path) -> None:
    names = {"adapt": "a.png", "select": "s.parquet", "report": "r.tar", "classes": "names.txt"}
    for name in names.values():
        (tmp_path / name).write_bytes(b"x")
    data = RoleData(**{key: str(tmp_path / name) for key, name in names.items()})
    first, *others = world.tasks
    first = first.model_copy(update={"data": data})
    source = source_of(world.model_copy(update={"tasks": (first, *others)}))
    digests = session_of(world).digests
    for name in names.values():
        remember(known_place(tmp_path / "cache", source, ()), digests)
        assert remembered(known_place(tmp_path / "cache", source, ())) == digests
        (tmp_path / name).write_bytes(b"another")
        assert remembered(known_place(tmp_path / "cache", source, ())) is None


def test_remote_data_are_not_remembered(world: ModelFiles, tmp_path: Path) -> None:
    first, *others = world.tasks
    first = first.model_copy(update={"data": WholeData(path="memory://known/data")})
    source = source_of(world.model_copy(update={"tasks": (first, *others)}))
    remember(known_place(tmp_path, source, ()), session_of(world).digests)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_changes_while_it_is_read_is_not_remembered(
    world: ModelFiles, tmp_path: Path
) -> None:
    place = known_place(tmp_path, source_of(world), ())
    digests = session_of(world).digests
    world.base.write_bytes(world.base.read_bytes())
    remember(place, digests)
    assert remembered(known_place(tmp_path, source_of(world), ())) is None


def test_another_bank_or_revision_is_not_remembered(
    world: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of(world)
    rounded = replace(source, bank="bfloat16")
    assert known_place(tmp_path, source, ()) != known_place(tmp_path, rounded, ())
    place = known_place(tmp_path, source, ())
    monkeypatch.setattr(known, "_REVISIONS", (*known._REVISIONS[:-1], 99))
    assert known_place(tmp_path, source, ()) != place


def test_the_tokenizer_is_watched(tmp_path: Path) -> None:
    source = source_of(build_text_world(tmp_path))
    place = known_place(tmp_path, source, ())
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + " ")
    changed = known_place(tmp_path, source, ())
    assert changed != place
    tokenizer.unlink()  # arrays of tokens need none
    assert known_place(tmp_path, source, ()) not in {place, changed}


def test_where_nothing_can_be_written_nothing_is_remembered(
    world: ModelFiles, tmp_path: Path
) -> None:
    (tmp_path / "digests").write_text("")
    place = known_place(tmp_path, source_of(world), ())
    remember(place, session_of(world).digests)
    assert remembered(place) is None
