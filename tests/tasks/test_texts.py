import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distmerge.errors import DataError
from distmerge.spec import BenchmarkData, RoleData, Tokens, WholeData
from distmerge.tasks.arrays import Decoding, array_folder
from distmerge.tasks.preview import previewed
from distmerge.tasks.texts import token_rows
from tests.texts import SPECIAL, TEXT_TOWER, WORDS, save_tokenizer

TOKENS = TEXT_TOWER.preprocess
CLS, SEP, FIRST = 2, 3, len(SPECIAL)
TEXTS = [f"{WORDS[i]} {WORDS[i // 4]}" for i in range(30)]
LABELS = ["even" if i % 2 == 0 else "odd" for i in range(30)]


@pytest.fixture
def decoding(tmp_path: Path) -> Decoding:
    save_tokenizer(tmp_path)
    return Decoding(TOKENS, tmp_path / "cache", tmp_path)


def test_a_text_is_cut_padded_and_given_the_tokenizers_special_tokens(decoding: Decoding) -> None:
    made = decoding.rows().made
    assert made("word0 unknown").tolist() == [CLS, FIRST, 1, SEP, *[0] * 6]
    assert made(" ".join(WORDS)).tolist() == [CLS, *range(FIRST, FIRST + 8), SEP]


def test_token_numbers_are_taken_as_they_are_and_padded(decoding: Decoding) -> None:
    row = decoding.rows().made(np.array([2, 5, 3]))
    assert row.dtype == np.int32
    assert row.tolist() == [2, 5, 3, *[0] * 7]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (np.zeros(11, np.int64), "11 tokens, expected 1 to 10"),
        (np.zeros((2, 2), np.int64), "neither a text nor token numbers"),
        (np.zeros(3), "neither a text nor token numbers"),
    ],
)
def test_other_arrays_are_no_texts(content: np.ndarray, problem: str, decoding: Decoding) -> None:
    with pytest.raises(ValueError, match=problem):
        decoding.rows().made(content)


def test_a_tower_without_a_tokenizer_takes_no_texts(tmp_path: Path) -> None:
    rows = token_rows(Tokens(length=4, padding=0), tmp_path)
    with pytest.raises(ValueError, match=r"tower\.json names no tokenizer: put tokenizer\.json"):
        rows.made("a text")


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match="not a file of Hugging Face's tokenizers"):
        token_rows(TOKENS, tmp_path)


def test_another_tokenizer_makes_other_rows(decoding: Decoding) -> None:
    before = decoding.rows().identity
    path = decoding.beside / "tokenizer.json"
    path.write_text(path.read_text().replace("word29", "other"))
    assert decoding.rows().identity != before


def write_rows(path: Path, *, labelled: bool = True) -> Path:
    """Write the same rows as a file of any kind; its suffix says which."""
    columns = {"text": TEXTS, **({"label": LABELS} if labelled else {})}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    match path.suffix:
        case ".parquet":
            pq.write_table(pa.table(columns), path)
        case ".arrow":
            with pa.OSFile(str(path), "wb") as sink:
                table = pa.table(columns)
                with pa.ipc.new_stream(sink, table.schema) as writer:
                    writer.write_table(table)
        case ".jsonl":
            path.write_text("\n".join(json.dumps(row) for row in rows))
        case suffix:
            between = "\t" if suffix == ".tsv" else ","
            lines = [between.join(columns), *(between.join(row.values()) for row in rows)]
            path.write_text("\n".join(lines))
    return path


def arrays_of(folder: Path) -> dict[str, list[object]]:
    return {path.name: np.load(path).tolist() for path in sorted(folder.glob("*.npy"))}


SUFFIXES = ("parquet", "arrow", "csv", "tsv", "jsonl")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_texts_make_the_same_arrays_whatever_holds_them(
    suffix: str, tmp_path: Path, decoding: Decoding
) -> None:
    found = array_folder(WholeData(path=str(write_rows(tmp_path / f"x.{suffix}"))), decoding)
    expected = array_folder(WholeData(path=str(write_rows(tmp_path / "y.jsonl"))), decoding)
    assert arrays_of(found) == arrays_of(expected)
    assert json.loads((found / "classes.json").read_text()) == ["even", "odd"]
    rows = [row for name, array in arrays_of(found).items() if "tokens" in name for row in array]
    assert sorted(map(str, rows)) == sorted(str(decoding.rows().made(t).tolist()) for t in TEXTS)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_role_without_labels_needs_no_label_column(
    suffix: str, tmp_path: Path, decoding: Decoding
) -> None:
    labelled = write_rows(tmp_path / "both.csv")
    adapt = write_rows(tmp_path / f"adapt.{suffix}", labelled=False)
    data = RoleData(adapt=str(adapt), select=str(labelled), report=str(labelled))
    assert len(np.load(array_folder(data, decoding) / "adapt.tokens.npy")) == len(TEXTS)


def test_numbers_and_quotes_in_a_csv_are_texts(tmp_path: Path, decoding: Decoding) -> None:
    path = tmp_path / "x.csv"
    path.write_text('words,kind\n12,1\n"word1, word2\nword3",0\n')
    data = RoleData(
        select=str(path), report=str(path), text="words", label="kind", classes=("a", "b")
    )
    folder = array_folder(data, decoding)
    found = {
        str(row): int(n)
        for row, n in zip(
            np.load(folder / "report.tokens.npy").tolist(),
            np.load(folder / "report.labels.npy"),
            strict=True,
        )
    }
    unknown, words = [CLS, 1, SEP, *[0] * 7], [CLS, 5, 1, 6, 7, SEP, *[0] * 4]
    assert found == {str(unknown): 1, str(words): 0}


def test_an_empty_text_counts_as_unreadable(tmp_path: Path, decoding: Decoding) -> None:
    (tmp_path / "x.jsonl").write_text(
        '{"text": "word1", "label": "a"}\n{"text": null, "label": "b"}'
    )
    with pytest.raises(DataError, match=r"1 of 2 texts cannot be decoded, 0 may .* row 1 \(empty"):
        array_folder(WholeData(path=str(tmp_path / "x.jsonl")), decoding)


def test_a_missing_text_column_is_named(tmp_path: Path, decoding: Decoding) -> None:
    data = WholeData(path=str(write_rows(tmp_path / "x.csv")), text="body")
    with pytest.raises(DataError, match=r"no column for text: body; it has text, label: set text"):
        array_folder(data, decoding)


def test_images_of_torchvision_are_no_texts(tmp_path: Path, decoding: Decoding) -> None:
    (tmp_path / "MNIST").mkdir()
    (tmp_path / "MNIST" / "x").write_text("")
    with pytest.raises(DataError, match="holds images, and the tower reads texts"):
        array_folder(BenchmarkData(torchvision="MNIST", root=str(tmp_path)), decoding)


def test_rows_of_parquet_files_are_counted_before_they_are_read(tmp_path: Path) -> None:
    path = str(write_rows(tmp_path / "x.parquet"))
    found = previewed(RoleData(adapt=path, select=path, report=path), "tokens")
    assert (found.classes, found.counts) == (
        ("even", "odd"),
        {"adapt": 30, "select": 30, "report": 30},
    )
