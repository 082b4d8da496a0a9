import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import numpy as np
import pytest

from distmerge.errors import DataError
from distmerge.spec import RoleData, Shares, WholeData
from distmerge.tasks import ROLES, Decoding
from distmerge.tasks.arrays import array_folder
from tests.tasks.pictures import (
    CLASSES,
    PREPROCESS,
    Sample,
    samples_of,
    write_flat,
    write_folder,
    write_parquet,
    write_saved,
    write_shards,
)

SAMPLES = samples_of(40)
Writer = Callable[[Path, Sequence[Sample]], Path]
KINDS: dict[str, Writer] = {
    "folder": write_folder,
    "parquet": lambda folder, samples: write_parquet(folder / "data.parquet", samples),
    "saved": write_saved,
    "shards": write_shards,
}


@pytest.fixture
def decoding(tmp_path: Path) -> Decoding:
    return Decoding(PREPROCESS, tmp_path / "cache")


def arrays_in(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: np.load(path) for path in sorted(folder.glob("*.npy"))}


def written(folder: Path, decoding: Decoding, *, kind: str, samples: list[Sample]) -> Path:
    path = KINDS[kind](folder / kind, samples)
    return array_folder(WholeData(path=str(path), classes=CLASSES), decoding)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_images_make_the_same_arrays_whatever_holds_them(
    kind: str, tmp_path: Path, decoding: Decoding
) -> None:
    expected = arrays_in(written(tmp_path, decoding, kind="folder", samples=SAMPLES))
    turned = written(tmp_path / "turned", decoding, kind=kind, samples=SAMPLES[::-1])
    found = arrays_in(turned)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in found)


def test_every_image_is_in_one_role_with_its_label(tmp_path: Path, decoding: Decoding) -> None:
    arrays = arrays_in(written(tmp_path, decoding, kind="folder", samples=SAMPLES))
    labels = {pixels.tobytes(): label for pixels, label in SAMPLES}
    found = [image.tobytes() for role in ROLES for image in arrays[f"{role}.images.npy"]]
    assert sorted(found) == sorted(labels)
    for role in ("select", "report"):
        images = arrays[f"{role}.images.npy"]
        expected = [labels[image.tobytes()] for image in images]
        assert arrays[f"{role}.labels.npy"].tolist() == expected
    assert "adapt.labels.npy" not in arrays


def test_equal_images_go_to_the_same_role(tmp_path: Path, decoding: Decoding) -> None:
    once = arrays_in(written(tmp_path, decoding, kind="folder", samples=SAMPLES))
    double = written(tmp_path / "double", decoding, kind="folder", samples=SAMPLES + SAMPLES)
    twice = arrays_in(double)
    for role in ROLES:
        images = once[f"{role}.images.npy"]
        assert np.array_equal(twice[f"{role}.images.npy"], images.repeat(2, axis=0))


def test_shares_decide_how_many_images_a_role_gets(tmp_path: Path, decoding: Decoding) -> None:
    path = write_folder(tmp_path / "data", samples_of(200))
    shares = Shares(adapt=0.1, select=0.1, report=0.8)
    arrays = arrays_in(array_folder(WholeData(path=str(path), shares=shares), decoding))
    assert 130 < len(arrays["report.images.npy"]) < 190


def test_a_source_per_role_may_be_of_any_kind(tmp_path: Path, decoding: Decoding) -> None:
    adapt = write_flat(tmp_path / "flat", SAMPLES[:20])
    select = write_parquet(tmp_path / "select.parquet", SAMPLES[20:30])
    report = write_folder(tmp_path / "report", SAMPLES[30:])
    data = RoleData(adapt=str(adapt), select=str(select), report=str(report))
    arrays = arrays_in(array_folder(data, decoding))
    assert [len(arrays[f"{role}.images.npy"]) for role in ROLES] == [20, 10, 10]
    assert sorted(arrays["select.labels.npy"]) == [0] * 5 + [1] * 5


def test_the_labels_of_adapt_images_are_not_read(tmp_path: Path, decoding: Decoding) -> None:
    adapt = write_shards(tmp_path / "adapt", SAMPLES[:20])
    test = str(write_folder(tmp_path / "test", SAMPLES[20:]))
    folder = array_folder(RoleData(adapt=str(adapt), select=test, report=test), decoding)
    assert not (folder / "adapt.labels.npy").exists()


def test_a_role_may_lie_in_a_folder_of_arrays(tmp_path: Path, decoding: Decoding) -> None:
    folder = array_folder(WholeData(path=str(write_folder(tmp_path / "d", SAMPLES))), decoding)
    data = RoleData(adapt=str(folder), select=str(folder), report=str(folder))
    again = array_folder(data, decoding)
    assert again != folder
    expected = arrays_in(folder)
    assert all(np.array_equal(array, expected[name]) for name, array in arrays_in(again).items())


def test_what_was_made_is_found_again(tmp_path: Path, decoding: Decoding) -> None:
    data = WholeData(path=str(write_folder(tmp_path / "data", SAMPLES)))
    made = array_folder(data, decoding)
    times = {path: path.stat().st_mtime_ns for path in decoding.cache.rglob("*")}
    assert array_folder(data, decoding) == made
    assert {path: path.stat().st_mtime_ns for path in decoding.cache.rglob("*")} == times
    assert not list(decoding.cache.glob("*.tmp"))


def test_files_that_are_only_copied_are_not_decoded_again(
    tmp_path: Path, decoding: Decoding
) -> None:
    path = write_folder(tmp_path / "data", SAMPLES)
    copy = shutil.copytree(path, tmp_path / "copy", copy_function=shutil.copyfile)
    made = array_folder(WholeData(path=str(path)), decoding)
    assert array_folder(WholeData(path=str(copy)), decoding) == made


@pytest.mark.parametrize("change", ["content", "name", "size", "shares"])
def test_other_images_or_settings_are_decoded_anew(
    change: str, tmp_path: Path, decoding: Decoding
) -> None:
    path = write_folder(tmp_path / "data", SAMPLES)
    data = WholeData(path=str(path))
    made = array_folder(data, decoding)
    image = path / "cat" / "0.png"
    match change:
        case "content":
            image.write_bytes((path / "cat" / "2.png").read_bytes())
        case "name":
            image.rename(path / "dog" / "0.png")
        case "size":
            decoding = decoding._replace(preprocess=PREPROCESS.model_copy(update={"size": 8}))
        case _:
            data = WholeData(path=str(path), shares=Shares(adapt=0.5, select=0.2, report=0.3))
    assert array_folder(data, decoding) != made


def test_names_tell_which_file_an_image_was(tmp_path: Path, decoding: Decoding) -> None:
    path = write_folder(tmp_path / "data", SAMPLES)
    folder = array_folder(WholeData(path=str(path)), decoding)
    names = json.loads((folder / "report.names.json").read_text())
    pixels = np.load(folder / "report.images.npy")
    for name, image in zip(names, pixels, strict=True):
        assert np.array_equal(SAMPLES[int(Path(name).stem)][0], image)


def test_images_behind_a_url_are_those_of_the_disk(tmp_path: Path, decoding: Decoding) -> None:
    path = write_folder(tmp_path / "data", SAMPLES)
    memory = fsspec.filesystem("memory")
    memory.put(f"{path}/", "/bucket/images/", recursive=True)
    local = array_folder(WholeData(path=str(path)), decoding)
    remote = array_folder(WholeData(path="memory://bucket/images"), decoding)
    assert remote == local  # by content


def test_unreadable_images_are_counted_and_the_first_are_named(
    tmp_path: Path, decoding: Decoding
) -> None:
    path = write_folder(tmp_path / "data", SAMPLES)
    for index in range(0, 14, 2):
        (path / "cat" / f"{index}.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"^7 of 40 images cannot be decoded, 0 may") as caught:
        array_folder(WholeData(path=str(path)), decoding)
    assert "cat/0.png (no known image format)" in str(caught.value)
    assert str(caught.value).endswith("and 2 more")
    assert not list(decoding.cache.glob("*/"))


@pytest.mark.parametrize("place", ["cache", "cache/deeper"])
def test_a_cache_that_cannot_be_written_is_named(place: str, tmp_path: Path) -> None:
    path = write_folder(tmp_path / "data", SAMPLES)
    (tmp_path / "cache").write_text("no folder")
    with pytest.raises(DataError, match=r"cannot write the cache .* set DISTMERGE_CACHE"):
        array_folder(WholeData(path=str(path)), Decoding(PREPROCESS, tmp_path / place))


def test_those_who_make_the_same_at_once_share_it(tmp_path: Path, decoding: Decoding) -> None:
    data = WholeData(path=str(write_folder(tmp_path / "data", SAMPLES)))
    with ThreadPoolExecutor(4) as pool:
        made = set(pool.map(array_folder, [data] * 4, [decoding] * 4))
    assert [*decoding.cache.glob("*/")] == [*made]
    assert sum(len(array) for array in arrays_in(made.pop()).values()) > len(SAMPLES)


def test_files_of_another_suffix_may_be_passed_over_if_the_study_says_so(
    tmp_path: Path, decoding: Decoding
) -> None:
    path = write_folder(tmp_path / "data", SAMPLES)
    (path / "cat" / "0.png").rename(path / "cat" / "0.heic")
    folder = array_folder(WholeData(path=str(path), skip_unreadable=1), decoding)
    assert sum(len(np.load(folder / f"{role}.images.npy")) for role in ROLES) == 39


def test_some_images_may_be_unreadable_if_the_study_says_so(
    tmp_path: Path, decoding: Decoding
) -> None:
    path = write_folder(tmp_path / "data", SAMPLES)
    whole = (path / "cat" / "0.png").read_bytes()
    (path / "cat" / "0.png").write_bytes(whole[: len(whole) // 2])
    (path / "dog" / "1.png").write_bytes(b"")
    folder = array_folder(WholeData(path=str(path), skip_unreadable=2), decoding)
    assert sum(len(np.load(folder / f"{role}.images.npy")) for role in ROLES) == 38


def test_labels_beyond_the_classes_are_named(tmp_path: Path, decoding: Decoding) -> None:
    path = write_parquet(tmp_path / "x.parquet", [(pixels, 7) for pixels, _ in SAMPLES[:3]])
    with pytest.raises(DataError, match=r"none of the 2 classes: 7 of x\.parquet row 0, .* 0 to 1"):
        array_folder(WholeData(path=str(path)), decoding)


def test_a_source_without_class_names_asks_for_them(tmp_path: Path, decoding: Decoding) -> None:
    path = write_shards(tmp_path / "shards", SAMPLES)
    with pytest.raises(DataError, match="no class names; give classes"):
        array_folder(WholeData(path=str(path)), decoding)


@pytest.mark.parametrize("text", ["cat\ndog\n", '["cat", "dog"]'])
def test_class_names_may_lie_in_a_file(text: str, tmp_path: Path, decoding: Decoding) -> None:
    path = write_shards(tmp_path / "shards", SAMPLES)
    (tmp_path / "names.txt").write_text(text)
    data = WholeData(path=str(path), classes=str(tmp_path / "names.txt"))
    assert json.loads((array_folder(data, decoding) / "classes.json").read_text()) == [*CLASSES]


def test_the_order_of_given_class_names_decides_the_numbers(
    tmp_path: Path, decoding: Decoding
) -> None:
    path = write_folder(tmp_path / "data", SAMPLES)
    labels = np.load(array_folder(WholeData(path=str(path)), decoding) / "report.labels.npy")
    data = WholeData(path=str(path), classes=("bird", "dog", "cat"))
    others = np.load(array_folder(data, decoding) / "report.labels.npy")
    assert np.array_equal(others, np.where(labels == 0, 2, 1))


def test_roles_with_different_classes_are_refused(tmp_path: Path, decoding: Decoding) -> None:
    select = write_folder(tmp_path / "select", [one for one in SAMPLES[:20] if one[1]])
    report = write_folder(tmp_path / "report", SAMPLES[20:])
    data = RoleData(select=str(select), report=str(report))
    with pytest.raises(DataError, match=r"different classes, so give classes: .*select: dog; "):
        array_folder(data, decoding)


def test_class_names_that_appear_twice_are_refused(tmp_path: Path, decoding: Decoding) -> None:
    path = write_folder(tmp_path / "data", SAMPLES)
    with pytest.raises(DataError, match="class names appear twice: cat"):
        array_folder(WholeData(path=str(path), classes=("cat", "dog", "cat")), decoding)


def test_shared_images_may_be_dropped_from_the_role_that_comes_first(
    tmp_path: Path, decoding: Decoding
) -> None:
    adapt = write_flat(tmp_path / "adapt", SAMPLES[:25])
    select = write_folder(tmp_path / "select", SAMPLES[20:35])
    report = write_folder(tmp_path / "report", SAMPLES[30:])
    data = RoleData(adapt=str(adapt), select=str(select), report=str(report), shared="drop")
    arrays = arrays_in(array_folder(data, decoding))
    assert [len(arrays[f"{role}.images.npy"]) for role in ROLES] == [20, 10, 10]
