"""One object at a time: races, crashes, a store that is too busy for a while."""

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from distmerge.coordinator import FeatureStore
from distmerge.errors import UnavailableError
from distmerge.results import RunStore, open_folder
from tests.coordinator.test_features import KEY, block_of
from tests.results.records import RECORD
from tests.spec.hypers import HYPERS
from tests.storage.busy import busy_at_first
from tests.storage.clients import keys, signed_in
from tests.storage.server import WRITER, needs_s3

pytestmark = needs_s3


def test_two_writers_of_one_attempt_leave_one_whole_file(bucket: str) -> None:
    """A plain PUT is enough: the key names run and attempt, so either's content is right."""
    stores = [RunStore(bucket, HYPERS) for _ in range(8)]
    records = [replace(RECORD, trial_id=f"trial {i}") for i in range(8)]
    writers = [
        threading.Thread(target=store.append, args=(record,))
        for store, record in zip(stores, records, strict=True)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert len(keys(bucket)) == 1
    assert RunStore(bucket, HYPERS).records(RECORD.study)["trial_id"].nunique() == 1


CRASH = """
import os, sys
from distmerge.results import open_folder
folder = open_folder(sys.argv[1])
stream = folder.filesystem.open_output_stream(folder.root + "/half.parquet")
stream.write(bytes(int(sys.argv[2])))
stream.flush()
os._exit(9)
"""


@pytest.mark.parametrize("size", [1_000, 25_000_000], ids=["one PUT", "several parts"])
def test_a_writer_that_dies_leaves_nothing_a_reader_sees(bucket: str, size: int) -> None:
    done = subprocess.run([sys.executable, "-c", CRASH, bucket, str(size)], timeout=60, check=False)
    assert done.returncode == 9
    assert keys(bucket) == []
    assert open_folder(bucket).files(bucket.removeprefix("s3://")) == []


@pytest.mark.parametrize("size", [1_000, 25_000_000], ids=["one PUT", "several parts"])
def test_what_is_written_comes_back(bucket: str, size: int) -> None:
    folder, content = open_folder(bucket), bytes(range(250)) * (size // 250)
    folder.write(f"{folder.root}/a/b.bin", content)
    assert folder.read(f"{folder.root}/a/b.bin") == content
    assert keys(bucket) == ["a/b.bin"]


@pytest.mark.slow
def test_a_row_waits_for_a_store_that_is_too_busy_for_a_while(
    bucket: str, s3_endpoint: str
) -> None:
    with busy_at_first(s3_endpoint, seconds=8) as endpoint, signed_in(WRITER, endpoint):
        RunStore(bucket, HYPERS, patience_s=30.0).append(RECORD)
    assert len(keys(bucket)) == 1


@pytest.mark.slow
def test_what_is_read_or_removed_waits_for_a_store_that_is_too_busy_for_a_while(
    bucket: str, s3_endpoint: str, tmp_path: Path
) -> None:
    before, name = RunStore(bucket, HYPERS), "_recipes/a"
    before.append(RECORD)
    for each in (name, "_runs/a"):
        before.write_file(each, b"content")
    FeatureStore(tmp_path / "one", open_folder(f"{bucket}/features")).save(KEY, [block_of(3)])
    with busy_at_first(s3_endpoint, seconds=8) as endpoint, signed_in(WRITER, endpoint):
        store, study = RunStore(bucket, HYPERS, patience_s=30.0), RECORD.study
        shared = FeatureStore(tmp_path / "other", open_folder(f"{bucket}/features"))
        fetching = FeatureStore(tmp_path / "third", open_folder(f"{bucket}/features"))
        asked: dict[Callable[[], object], object] = {
            partial(store.find_file, name): b"content",
            partial(store.read_file, name): b"content",
            partial(store.remove_file, "_runs/a"): None,
            store.studies: [study],
            lambda: len(store.records(study)): len(RECORD.metrics),
            lambda: len(store.finished(study)): len(RECORD.metrics),
            lambda: KEY in shared: True,
            lambda: len(fetching.load(KEY).features): 3,
        }
        with ThreadPoolExecutor(len(asked)) as pool:
            answers = list(pool.map(lambda ask: ask(), asked))
    assert answers == list(asked.values())
    assert before.find_file("_runs/a") == b""


@pytest.mark.slow
def test_a_reader_waits_for_a_store_that_is_too_busy_for_a_while(
    bucket: str, s3_endpoint: str
) -> None:
    with busy_at_first(s3_endpoint, seconds=8) as endpoint, signed_in(WRITER, endpoint):
        assert RunStore(bucket, HYPERS, patience_s=30.0).find_file("state") == b""
    with busy_at_first(s3_endpoint, seconds=8) as endpoint, signed_in(WRITER, endpoint):
        assert RunStore(bucket, HYPERS, patience_s=30.0).records(RECORD.study).empty


@pytest.mark.slow
def test_a_store_that_stays_too_busy_is_an_error_in_the_time_that_was_given(
    bucket: str, s3_endpoint: str
) -> None:
    with (
        busy_at_first(s3_endpoint, seconds=600) as endpoint,
        signed_in(WRITER, endpoint),
        pytest.raises(UnavailableError, match=r"cannot write: no answer.*tried for 0\.5 s"),
    ):
        RunStore(bucket, HYPERS, patience_s=0.5).append(RECORD)
