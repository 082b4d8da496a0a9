from pathlib import Path

import pytest

from distmerge.errors import DataError
from distmerge.spec import BenchmarkData, RoleData, Shares, WholeData
from distmerge.tasks import previewed
from tests.tasks.pictures import (
    CLASSES,
    samples_of,
    write_flat,
    write_folder,
    write_parquet,
    write_saved,
    write_shards,
)


@pytest.fixture
def roles(tmp_path: Path) -> RoleData:
    """A source of another kind per role."""
    adapt = write_flat(tmp_path / "adapt", samples_of(5))
    select = write_parquet(tmp_path / "select.parquet", samples_of(3, seed=1))
    report = write_folder(tmp_path / "report", samples_of(4, seed=2))
    return RoleData(adapt=str(adapt), select=str(select), report=str(report))


def test_folders_and_footers_tell_classes_and_exact_counts(roles: RoleData) -> None:
    found = previewed(roles)
    assert found.classes == CLASSES
    assert found.counts == {"adapt": 5, "select": 3, "report": 4}
    assert found.exact


@pytest.mark.parametrize("change", [{"shared": "drop"}, {"skip_unreadable": 1}])
def test_images_that_may_be_left_out_make_the_counts_estimates(
    change: dict[str, object], roles: RoleData
) -> None:
    assert not previewed(roles.model_copy(update=change)).exact


def test_shares_of_one_source_are_estimates(tmp_path: Path) -> None:
    path = str(write_folder(tmp_path / "data", samples_of(20)))
    found = previewed(WholeData(path=path, shares=Shares(adapt=0.5, select=0.2, report=0.3)))
    assert found.counts == {"adapt": 10, "select": 4, "report": 6}
    assert not found.exact


@pytest.mark.parametrize("write", [write_saved, write_shards])
def test_what_only_reading_counts_is_not_counted(write: object, tmp_path: Path) -> None:
    assert callable(write)
    path = str(write(tmp_path / "data", samples_of(6)))
    found = previewed(WholeData(path=path, classes=CLASSES))
    assert found.classes == CLASSES
    assert found.counts is None


def test_no_image_is_opened(roles: RoleData) -> None:
    assert roles.adapt is not None
    for path in Path(roles.adapt).iterdir():
        path.write_bytes(b"no image")
    assert previewed(roles).counts == {"adapt": 5, "select": 3, "report": 4}


def test_all_locations_that_are_missing_are_named(tmp_path: Path) -> None:
    report = write_folder(tmp_path / "report", samples_of(4))
    data = RoleData(
        adapt=str(tmp_path / "a"),
        select=str(tmp_path / "*.tar"),
        report=str(report),
        classes=str(tmp_path / "names.txt"),
    )
    with pytest.raises(DataError, match=r"/a: no such.*\*\.tar: no such.*names\.txt: no such"):
        previewed(data)


def test_all_files_of_a_benchmark_task_that_are_missing_are_named(tmp_path: Path) -> None:
    data = BenchmarkData(torchvision="RESISC45", root=str(tmp_path))
    with pytest.raises(DataError, match=r"NWPU-RESISC45: no such.*-val\.txt: .*-test\.txt: no"):
        previewed(data)


def test_a_benchmark_task_that_torchvision_reads_is_only_looked_for(tmp_path: Path) -> None:
    (tmp_path / "MNIST").mkdir()
    found = previewed(BenchmarkData(torchvision="MNIST", root=str(tmp_path)))
    assert found.classes is None
    assert found.counts is None


@pytest.mark.parametrize(("name", "problem"), [("here", ""), ("gone", "memory://.*gone: no such")])
def test_a_remote_source_is_only_looked_for(name: str, problem: str, tmp_path: Path) -> None:
    import fsspec

    with fsspec.open(f"memory://{tmp_path.name}/here/1.png", "wb") as file:
        file.write(b"x")
    data = WholeData(path=f"memory://{tmp_path.name}/{name}", classes=CLASSES)
    if not problem:
        assert previewed(data).counts is None
        return
    with pytest.raises(DataError, match=problem):
        previewed(data)


def test_files_of_several_kinds_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", samples_of(4))
    write_parquet(folder / "x.parquet", samples_of(2))
    with pytest.raises(DataError, match="expected one of"):
        previewed(WholeData(path=str(folder)))
