import gzip
from pathlib import Path

import numpy as np
import pytest

from distmerge.errors import ZooError
from distmerge.zoo.images import Scans, Side
from distmerge.zoo.packages import NpmPackage
from distmerge.zoo.scans import ScanSource, framed, idx_array
from tests.zoo.packed import tarball

RECIPE = Scans(
    source="a toy",
    package=NpmPackage(package="toy", version="1", sha256=""),
    folder="package/data",
    classes=("a", "b"),
    adapt_rows=4,
)
LABELS = np.arange(12, dtype=np.uint8) % 2


def idx(array: np.ndarray) -> bytes:
    """Give bytes as an IDX file."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def scans(first: int) -> np.ndarray:
    """Give twelve scans that are numbered by their pixels."""
    return (
        np.full((12, 4, 4), 0, np.uint8)
        + np.arange(first, first + 12, dtype=np.uint8)[:, None, None]
    )


def files() -> dict[str, bytes]:
    """Give a data set of twelve training and twelve test rows."""
    return {
        "package/data/train-images-idx3-ubyte": idx(scans(10)),
        "package/data/train-labels-idx1-ubyte": idx(LABELS),
        "package/data/t10k-images-idx3-ubyte": idx(scans(100)),
        "package/data/t10k-labels-idx1-ubyte": idx(LABELS),
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ScanSource:
    packed = tarball(tmp_path_factory.mktemp("scans") / "toy.tgz", files())
    return ScanSource(RECIPE, 6, {"toy": packed})


def drawn(source: ScanSource, side: Side, label: int) -> set[int]:
    """Give the numbers of the scans that many draws give."""
    generator = np.random.default_rng(0)
    return {int(source.draw(side, label, generator)[2, 2, 0]) for _ in range(60)}


@pytest.mark.parametrize(
    ("side", "rows"),
    [("train", range(10, 18)), ("adapt", range(18, 22)), ("report", range(100, 112))],
)
@pytest.mark.parametrize("label", [0, 1])
def test_a_side_has_its_own_rows_of_a_class(
    source: ScanSource, side: Side, rows: range, label: int
) -> None:
    assert drawn(source, side, label) == {row for row in rows if row % 2 == label}


def test_compressed_files_are_read_alike(source: ScanSource, tmp_path: Path) -> None:
    compressed = {f"{name}.gz": gzip.compress(content) for name, content in files().items()}
    other = ScanSource(RECIPE, 6, {"toy": tarball(tmp_path / "toy.tgz", compressed)})
    one, two = (each.draw("report", 1, np.random.default_rng(5)) for each in (source, other))
    assert np.array_equal(one, two)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    few = {name: content for name, content in files().items() if "t10k-labels" not in name}
    with pytest.raises(ZooError, match=r"no file package/data/t10k-labels-idx1-ubyte or .*gz"):
        ScanSource(RECIPE, 6, {"toy": tarball(tmp_path / "toy.tgz", few)})


def test_an_idx_file_gives_its_array() -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert np.array_equal(idx_array(idx(array)), array)


def test_a_scan_is_framed_in_black() -> None:
    image = framed(np.full((2, 3), 9, np.uint8), 5)
    assert image.shape == (5, 5, 3)
    assert np.argwhere(image[..., 0]).tolist() == [[r, c] for r in (1, 2) for c in (1, 2, 3)]
