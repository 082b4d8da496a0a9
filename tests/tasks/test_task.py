import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from distmerge.errors import DataError
from distmerge.spec import ImageCounts, ModelFiles, RoleData, TaskFiles, WholeData
from distmerge.tasks import (
    ROLES,
    Decoding,
    LabelledSamples,
    Level,
    Task,
    array_digest,
    load_tasks,
    with_levels,
)
from tests.tasks.pictures import (
    CLASSES,
    PREPROCESS,
    samples_of,
    write_flat,
    write_folder,
    write_parquet,
)
from tests.world import NUM_IMAGES

ALL = ImageCounts()
PLAIN = Decoding(PREPROCESS, Path(os.devnull) / "unused")


class Malicious:
    """What a hostile array file holds: unpickling it makes a folder."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


@pytest.fixture
def files(world: ModelFiles, tmp_path: Path) -> tuple[TaskFiles, ...]:
    """Copies of two tasks, to be spoiled."""
    return tuple(
        task.model_copy(update={"data": shutil.copytree(arrays_of(task), tmp_path / task.name)})
        for task in world.tasks[:2]
    )


def arrays_of(task: TaskFiles) -> Path:
    """Give the folder of a task's arrays."""
    assert isinstance(task.data, Path)
    return task.data


def load(files: tuple[TaskFiles, ...], counts: ImageCounts = ALL) -> tuple[Task, ...]:
    return load_tasks(files, counts, transductive=False, decoding=PLAIN)


def change(path: Path, edit: Callable[[np.ndarray], np.ndarray]) -> None:
    np.save(path, edit(np.load(path)))


def test_every_role_is_read_whole_by_default(world: ModelFiles) -> None:
    tasks = load(world.tasks)
    assert [task.name for task in tasks] == ["alpha", "beta", "gamma"]
    assert [len(task.classes) for task in tasks] == [3, 4, 5]
    assert [{role: len(task.samples(role)) for role in ROLES} for task in tasks] == [NUM_IMAGES] * 3


def test_pixels_and_labels_are_those_of_the_files(world: ModelFiles) -> None:
    task = load(world.tasks)[0]
    folder = arrays_of(world.tasks[0])
    assert np.array_equal(task.select.samples.array, np.load(folder / "select.images.npy"))
    assert np.array_equal(task.select.labels, np.load(folder / "select.labels.npy"))
    assert task.adapt.digest == array_digest(np.load(folder / "adapt.images.npy"))


def test_counts_take_the_first_images_of_each_role(world: ModelFiles) -> None:
    whole = load(world.tasks)[0]
    part = load(world.tasks, ImageCounts(adapt=5, select=4, report=3))[0]
    assert [len(part.samples(role)) for role in ROLES] == [5, 4, 3]
    assert np.array_equal(part.report.labels, whole.report.labels[:3])
    assert np.array_equal(part.report.samples.array, whole.report.samples.array[:3])
    assert part.report.samples.digest != whole.report.samples.digest


def test_the_transductive_protocol_adapts_on_the_report_images(world: ModelFiles) -> None:
    task = load_tasks(world.tasks, ALL, transductive=True, decoding=PLAIN)[0]
    assert np.array_equal(task.adapt.array, task.report.samples.array)
    assert not hasattr(task.adapt, "labels")


def test_the_transductive_protocol_needs_no_images_to_adapt_on(
    files: tuple[TaskFiles, ...],
) -> None:
    (arrays_of(files[0]) / "adapt.images.npy").unlink()
    assert (
        len(load_tasks(files, ALL, transductive=True, decoding=PLAIN)[0].adapt)
        == NUM_IMAGES["report"]
    )


def test_labels_may_be_any_integers(files: tuple[TaskFiles, ...]) -> None:
    expected = load(files)[0].report.labels
    change(arrays_of(files[0]) / "report.labels.npy", lambda labels: labels.astype(np.uint8))
    assert np.array_equal(load(files)[0].report.labels, expected)


@pytest.mark.parametrize(
    "name", ["adapt.images.npy", "select.images.npy", "report.labels.npy", "classes.json"]
)
def test_a_missing_file_is_named(files: tuple[TaskFiles, ...], name: str) -> None:
    (arrays_of(files[0]) / name).unlink()
    with pytest.raises(DataError, match=f"task alpha, .*alpha: cannot read {name} .*No such file"):
        load(files)


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        ("adapt.images.npy", lambda a: a[:0], "adapt.images.npy holds 0 images, expected at least"),
        (
            "adapt.images.npy",
            lambda a: a.astype(np.float32),
            r"got float32 \(40, 16, 16, 3\), expected uint8 \(image, height, width, 3\)",
        ),
        ("adapt.images.npy", lambda a: a[0], r"got uint8 \(16, 16, 3\), expected uint8"),
        (
            "select.images.npy",
            lambda a: a.transpose(0, 3, 1, 2),
            r"got uint8 \(16, 3, 16, 16\), expected uint8",
        ),
        (
            "select.labels.npy",
            lambda a: a.astype(np.float64),
            r"select.labels.npy: got float64 \(16,\), expected integers \(16,\)",
        ),
        ("select.labels.npy", lambda a: a[:9], r"got int64 \(9,\), expected integers \(16,\)"),
        (
            "select.labels.npy",
            lambda a: np.concatenate([a, a[:1]]),
            r"got int64 \(17,\), expected integers \(16,\), one for each sample",
        ),
        ("select.labels.npy", lambda a: a[0], r"got int64 \(\), expected integers \(16,\)"),
        ("select.labels.npy", lambda a: a[:, None], r"got int64 \(16, 1\), expected integers"),
        (
            "report.labels.npy",
            lambda a: a + 1,
            "labels from 1 to 3, expected 0 to 2 for the 3 names in classes.json",
        ),
        ("report.labels.npy", lambda a: a - 1, "labels from -1 to 1, expected 0 to 2"),
    ],
)
def test_a_malformed_array_is_named_with_what_was_expected(
    files: tuple[TaskFiles, ...],
    name: str,
    edit: Callable[[np.ndarray], np.ndarray],
    message: str,
) -> None:
    change(arrays_of(files[0]) / name, edit)
    with pytest.raises(DataError, match=f"task alpha, .*{message}"):
        load(files)


@pytest.mark.parametrize("content", ["[", "{}", '["only one"]'])
def test_malformed_class_names_are_refused(files: tuple[TaskFiles, ...], content: str) -> None:
    (arrays_of(files[0]) / "classes.json").write_text(content)
    with pytest.raises(DataError, match=r"task alpha, .*classes\.json"):
        load(files)


def test_more_images_than_there_are_is_an_error(files: tuple[TaskFiles, ...]) -> None:
    with pytest.raises(
        DataError, match=r"select\.images\.npy holds 16 images, expected at least 17"
    ):
        load(files, ImageCounts(select=17))


@pytest.mark.parametrize(
    ("one", "other"), [("adapt", "select"), ("adapt", "report"), ("select", "report")]
)
def test_an_image_in_two_roles_is_refused(
    files: tuple[TaskFiles, ...], one: str, other: str
) -> None:
    shared = np.load(arrays_of(files[0]) / f"{other}.images.npy")[:2]
    change(arrays_of(files[0]) / f"{one}.images.npy", lambda a: np.concatenate([shared, a[2:]]))
    with pytest.raises(DataError, match=f"2 images are in both {one} and {other}; roles must not"):
        load(files)


def test_that_roles_share_nothing_is_kept_with_the_digests_of_their_content(
    files: tuple[TaskFiles, ...], tmp_path: Path
) -> None:
    decoding, counts = Decoding(PREPROCESS, tmp_path), []
    for edit in (lambda a: a, lambda a: a, lambda a: a[:-1]):
        change(arrays_of(files[0]) / "adapt.images.npy", edit)
        load_tasks(files, ALL, transductive=False, decoding=decoding)
        counts.append(sum(not path.read_text() for path in (tmp_path / "digests").iterdir()))
    assert counts == [2, 2, 3]


def test_the_transductive_protocol_still_keeps_select_and_report_apart(
    files: tuple[TaskFiles, ...],
) -> None:
    shared = np.load(arrays_of(files[0]) / "report.images.npy")[:1]
    change(arrays_of(files[0]) / "select.images.npy", lambda a: np.concatenate([shared, a[1:]]))
    with pytest.raises(DataError, match="1 images are in both"):
        load_tasks(files, ALL, transductive=True, decoding=PLAIN)


def test_an_array_of_pickled_objects_is_refused_and_not_run(
    files: tuple[TaskFiles, ...], tmp_path: Path
) -> None:
    hostile = np.array([Malicious(tmp_path / "harm")], dtype=object)
    np.save(arrays_of(files[0]) / "adapt.images.npy", hostile, allow_pickle=True)
    with pytest.raises(DataError, match=r"cannot read adapt\.images\.npy"):
        load(files)
    assert not (tmp_path / "harm").exists()


def test_a_pickle_in_place_of_an_array_is_refused_and_not_run(
    files: tuple[TaskFiles, ...], tmp_path: Path
) -> None:
    hostile = pickle.dumps(Malicious(tmp_path / "harm"))
    (arrays_of(files[0]) / "adapt.images.npy").write_bytes(hostile)
    with pytest.raises(DataError, match=r"cannot read adapt\.images\.npy"):
        load(files)
    assert not (tmp_path / "harm").exists()


def test_the_problems_of_several_tasks_are_listed_at_once(files: tuple[TaskFiles, ...]) -> None:
    (arrays_of(files[0]) / "classes.json").unlink()
    change(arrays_of(files[1]) / "report.labels.npy", lambda labels: labels + 9)
    with pytest.raises(DataError, match="data of the tasks:") as caught:
        load(files)
    lines = str(caught.value).splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == ["  - task alpha", "  - task beta"]


def test_corrupted_images_are_made_once_and_mapped_again(world: ModelFiles, tmp_path: Path) -> None:
    task = load_tasks(world.tasks, ImageCounts(), transductive=False, decoding=PLAIN)[0]
    first = with_levels(task, ("L1", "L3"), seed=0, cache=tmp_path)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = with_levels(task, ("L1", "L3"), seed=0, cache=tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == files
    assert first.roles == ("adapt", "select", "report", "L1", "L3")
    levels: tuple[Level, ...] = ("L1", "L3")
    for level in levels:
        assert first.samples(level).digest == again.samples(level).digest
        assert first.samples(level).array.shape == task.report.samples.array.shape
    digests = {first.samples(role).digest for role in first.roles}
    assert len(digests) == 5


def test_a_cache_that_cannot_hold_corrupted_images_is_named(
    world: ModelFiles, tmp_path: Path
) -> None:
    task = load_tasks(world.tasks, ImageCounts(), transductive=False, decoding=PLAIN)[0]
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file: cannot write the cache .*DISTMERGE_CACHE"):
        with_levels(task, ("L1",), seed=0, cache=tmp_path / "file")


def test_another_seed_corrupts_otherwise(world: ModelFiles, tmp_path: Path) -> None:
    task = load_tasks(world.tasks, ImageCounts(), transductive=False, decoding=PLAIN)[0]
    one, other = (with_levels(task, ("L2",), seed=seed, cache=tmp_path) for seed in (0, 1))
    assert one.samples("L2").digest != other.samples("L2").digest


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("adapt.images.npy", b"", "cannot read adapt.images.npy"),
        ("classes.json", b"\xff\xfe[", "cannot read classes.json"),
    ],
)
def test_a_file_that_is_no_such_file_is_named(
    name: str, content: bytes, problem: str, world: ModelFiles, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(arrays_of(world.tasks[0]), folder)
    (folder / name).write_bytes(content)
    files = world.tasks[0].model_copy(update={"data": folder})
    with pytest.raises(DataError, match=problem):
        load_tasks((files,), ALL, transductive=False, decoding=PLAIN)


def test_an_archive_and_images_without_pixels_are_refused(
    world: ModelFiles, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(arrays_of(world.tasks[0]), folder)
    files = world.tasks[0].model_copy(update={"data": folder})
    with (folder / "adapt.images.npy").open("wb") as file:
        np.savez(file, images=np.zeros(3))
    with pytest.raises(DataError, match="got an archive, expected one array"):
        load_tasks((files,), ALL, transductive=False, decoding=PLAIN)
    np.save(folder / "adapt.images.npy", np.zeros((40, 0, 0, 3), np.uint8))
    with pytest.raises(DataError, match=r"got uint8 \(40, 0, 0, 3\)"):
        load_tasks((files,), ALL, transductive=False, decoding=PLAIN)


def test_labels_identify_the_split_and_not_its_images(world: ModelFiles) -> None:
    report = load_tasks(world.tasks, ALL, transductive=False, decoding=PLAIN)[0].report
    relabelled = LabelledSamples(report.samples, report.labels[::-1].copy())
    assert relabelled.digest != report.digest
    assert relabelled.samples.digest == report.samples.digest


def described(world: ModelFiles, *data: WholeData | RoleData) -> tuple[TaskFiles, ...]:
    """Give tasks with other data."""
    pairs = zip(world.tasks, data, strict=False)
    return tuple(task.model_copy(update={"data": one}) for task, one in pairs)


def test_an_image_folder_is_read_like_arrays(world: ModelFiles, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", samples_of(40))
    files = (world.tasks[0].model_copy(update={"data": folder}),)
    decoding = Decoding(PREPROCESS, tmp_path / "cache")
    task = load_tasks(files, ALL, transductive=False, decoding=decoding)[0]
    again = load_tasks(files, ALL, transductive=False, decoding=decoding)[0]
    assert task.classes == CLASSES
    assert isinstance(task.report.samples.array, np.memmap)
    assert [again.samples(role).digest for role in ROLES] == [
        task.samples(role).digest for role in ROLES
    ]


def test_shared_images_are_named_by_their_files(world: ModelFiles, tmp_path: Path) -> None:
    samples = samples_of(30)
    adapt = write_flat(tmp_path / "adapt", samples[:12])
    select = write_parquet(tmp_path / "select.parquet", samples[10:20])
    report = write_folder(tmp_path / "report", samples[20:])
    data = RoleData(adapt=str(adapt), select=str(select), report=str(report))
    files = described(world, data)
    expected = r"2 images are in both adapt and select \(1[01]\.png = select\.parquet row [01], 1"
    decoding = Decoding(PREPROCESS, tmp_path / "cache")
    with pytest.raises(DataError, match=expected) as caught:
        load_tasks(files, ALL, transductive=False, decoding=decoding)
    assert "data: {..., shared: drop} leaves them out of the earlier role" in str(caught.value)


def test_the_problems_of_data_of_any_kind_are_listed_at_once(
    world: ModelFiles, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "data", samples_of(10))
    (folder / "cat" / "0.png").write_bytes(b"no image")
    data = (
        WholeData(path=str(folder)),
        WholeData(path=str(tmp_path / "gone")),
        RoleData(select=str(folder), report=str(folder)),
    )
    decoding = Decoding(PREPROCESS, tmp_path)
    with pytest.raises(DataError, match="data of the tasks") as caught:
        load_tasks(described(world, *data), ALL, transductive=False, decoding=decoding)
    lines = str(caught.value).splitlines()[1:]
    assert "task alpha, data: 1 of 10 images cannot be decoded" in lines[0]
    assert "task beta, data: " in lines[1]
    assert "gone: no such file or folder" in lines[1]
    assert "task gamma, " in lines[2]
    assert "adapt: not given; expected unlabelled samples, or protocol: transductive" in lines[2]


def test_the_transductive_protocol_needs_no_source_to_adapt_on(
    world: ModelFiles, tmp_path: Path
) -> None:
    samples = samples_of(20)
    select = write_folder(tmp_path / "select", samples[:10])
    report = write_folder(tmp_path / "report", samples[10:])
    files = described(world, RoleData(select=str(select), report=str(report)))
    decoding = Decoding(PREPROCESS, tmp_path / "cache")
    assert len(load_tasks(files, ALL, transductive=True, decoding=decoding)[0].adapt) == 10
