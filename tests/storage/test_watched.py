"""What can be watched of a sweep whose results lie on S3: nothing can be appended there."""

import json

from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.sweep.progress.account import write_account
from distmerge.sweep.progress.event_files import EventFiles
from distmerge.sweep.progress.logs import logged, note
from distmerge.sweep.progress.status import sweep_status
from distmerge.sweep.progress.steps import Point, Standing, Told
from tests.storage.server import needs_s3
from tests.sweep.progress.test_account import ACCOUNT

pytestmark = needs_s3


def test_a_log_on_s3_is_whole_when_its_process_ends(bucket: str) -> None:
    store = RunStore(f"{bucket}/results", HYPERS)
    with logged(store, "tiny", "driver", wanted=True):
        note("progress", "one")
        note("progress", "two")
    (name,) = store.file_names("_logs/tiny")
    lines = [json.loads(line) for line in store.read_file(f"_logs/tiny/{name}").splitlines()]
    assert [line["message"] for line in lines] == ["one", "two"]
    assert name.endswith("-driver-0.jsonl")


def test_event_files_on_s3_are_whole_when_their_run_ends(bucket: str) -> None:
    store = RunStore(f"{bucket}/results", HYPERS)
    files = EventFiles(store, "tiny")
    point = Point("coefficients", 1, 0.5, None, {})
    files.draw(Told("r", "adamerging", Standing("coefficients", 1, 9), (point,)))
    files.close("r")
    (name,) = store.file_names("_tensorboard/tiny/adamerging-r")
    content = store.read_file(f"_tensorboard/tiny/adamerging-r/{name}")
    assert b"loss/coefficients" in content


def test_the_status_of_a_sweep_on_s3_is_read_from_there(bucket: str) -> None:
    store = RunStore(f"{bucket}/results", HYPERS)
    write_account(store, "tiny", ACCOUNT.model_copy(update={"ending": "stopped"}))
    found = sweep_status(f"{bucket}/results")
    assert (found.study, found.state, found.features) == ("tiny", "stopped", (3, 9))
