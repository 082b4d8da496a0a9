"""States of interrupted runs and the lease of a study, on S3."""

import pytest

from distmerge.coordinator import Progress
from distmerge.errors import ResultsError
from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.spec import ModelFiles
from distmerge.sweep.progress.lease import Holder, lease, refuse_second
from distmerge.sweep.trial import Recorder, attempt
from tests.coordinator.sessions import config_of, session_of
from tests.storage.clients import client
from tests.storage.server import needs_s3

pytestmark = needs_s3
LEARNING: dict[str, float | str] = {"adamerging.steps": 6, "adamerging.batch_size": 4}


@pytest.fixture(scope="module")
def store(s3_endpoint: str) -> RunStore:
    client().mkdir("interrupted")
    return RunStore("s3://interrupted/results", HYPERS)


def interrupted(progress: Progress) -> None:
    if progress.step == 4:
        raise KeyboardInterrupt


def test_an_interrupted_run_goes_on_from_its_state_on_s3(
    world: ModelFiles, store: RunStore
) -> None:
    session, config = session_of(world), config_of(LEARNING, "adamerging")
    recorder, trace = Recorder(store, "tiny"), list[Progress]()
    with pytest.raises(KeyboardInterrupt):
        attempt(session, config, "a", interrupted, recorder)
    done = attempt(session, config, "b", trace.append, Recorder(store, "tiny"))
    assert [progress.step for progress in trace] == [4, 5, 6]
    assert recorder.read_state(done.record.run_id)
    recorder.append(done)
    assert recorder.read_state(done.record.run_id) == b""
    assert set(store.records("tiny")["run_id"]) == {done.record.run_id}


def test_a_study_on_s3_is_held_by_one_driver(store: RunStore) -> None:
    with lease(store, "tiny"):
        content = store.find_file("_studies/tiny.lease")
        held = Holder.model_validate_json(content)
        other = held.model_copy(update={"host": "elsewhere", "token": "other"})
        store.write_file("_studies/tiny.lease", other.model_dump_json().encode())
        with pytest.raises(ResultsError, match=r"is being run by process \d+ on elsewhere"):
            refuse_second(store, "tiny", held)
    store.remove_file("_studies/tiny.lease")
    refuse_second(store, "tiny")
    with lease(store, "tiny"):
        pass
    assert store.find_file("_studies/tiny.lease") == b""
