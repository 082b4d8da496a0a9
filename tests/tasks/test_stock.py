from functools import partial
from pathlib import Path

import numpy as np
import pytest

from distmerge.errors import DataError
from distmerge.spec import Preprocess
from distmerge.tasks.decoding import pixel_rows
from distmerge.tasks.records import Record, Records
from distmerge.tasks.stock import Stock, filled_stock
from tests.tasks.pictures import CLASSES, SIZE, encoded, samples_of

SAMPLES = samples_of(300)
READING = Preprocess(size=SIZE, mean=(0, 0, 0), std=(1, 1, 1))


def record(label: int | str | None, content: bytes = b"") -> Record:
    return Record("x.png", partial(bytes, content or encoded(SAMPLES[0][0])), label)


def stock_of(folder: Path, *records: Record) -> Stock:
    return filled_stock(
        folder / "pixels", pixel_rows(READING), Records(None, iter(records)), CLASSES
    )


def test_images_keep_the_order_of_their_source(tmp_path: Path) -> None:
    records = [Record(str(i), pixels.copy, label) for i, (pixels, label) in enumerate(SAMPLES)]
    stock = stock_of(tmp_path, *records)
    assert np.array_equal(stock.array(), np.array([pixels for pixels, _ in SAMPLES]))
    assert [entry.address for entry in stock.entries] == [str(i) for i in range(len(SAMPLES))]


@pytest.mark.parametrize(("label", "number"), [(1, 1), ("dog", 1), ("cat", 0), (None, -1)])
def test_a_label_is_a_number_or_a_name(
    label: int | str | None, number: int, tmp_path: Path
) -> None:
    assert [entry.label for entry in stock_of(tmp_path, record(label)).entries] == [number]


@pytest.mark.parametrize("label", [2, -1, "Dog", ""])
def test_an_unknown_label_is_noted(label: int | str, tmp_path: Path) -> None:
    stock = stock_of(tmp_path, record(label), record(0))
    assert stock.unknown == [f"{label!r} of x.png"]
    assert len(stock.entries) == 1


def test_numbers_of_a_source_with_names_are_those_names(tmp_path: Path) -> None:
    records = Records(("dog", "emu", "cat"), iter([record(0), record(1), record(2), record(3)]))
    stock = filled_stock(tmp_path / "pixels", pixel_rows(READING), records, CLASSES)
    assert [entry.label for entry in stock.entries] == [1, 0]
    assert stock.unknown == ["1 of x.png", "3 of x.png"]


def test_an_undecodable_image_is_noted_with_its_reason(tmp_path: Path) -> None:
    stock = stock_of(tmp_path, record(0, b"no image"), record(0)._replace(read=bytes))
    assert stock.unreadable == ["x.png (no known image format)", "x.png (empty)"]


def test_a_file_that_cannot_be_read_is_an_error_at_once(tmp_path: Path) -> None:
    gone = record(0)._replace(read=(tmp_path / "gone.png").read_bytes)
    with pytest.raises(DataError, match=r"x\.png: no such file"):
        stock_of(tmp_path, gone)
