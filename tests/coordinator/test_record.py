import json
from datetime import UTC

import pytest
import torch

from distmerge import __version__
from distmerge.coordinator import blank_record
from distmerge.results import RunRecord
from distmerge.run import Session
from distmerge.spec import ModelFiles
from tests.coordinator.sessions import session_of


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world)


@pytest.fixture(scope="module")
def record(session: Session) -> RunRecord:
    return blank_record(session.study, session.material, session.digests)


def test_the_checkpoints_are_a_json_list_of_digests_in_the_order_of_the_tasks(
    session: Session, record: RunRecord
) -> None:
    digests = json.loads(record.checkpoint_digests)
    assert digests == [session.digests.checkpoints[name] for name in ("alpha", "beta", "gamma")]
    assert len({*digests, record.base_digest, record.data_digest}) == 5


def test_the_study_and_its_size_are_recorded(record: RunRecord) -> None:
    assert (record.study, record.protocol) == ("tiny", "disjoint")
    assert (record.num_tasks, record.adapt_images) == (3, 120)
    assert record.backbone == "vit-2x16/8"


def test_what_computes_is_recorded(record: RunRecord) -> None:
    assert record.package_version == __version__
    assert record.torch_version == torch.__version__
    assert record.git_commit is None or len(record.git_commit) >= 7
    assert record.started_at.tzinfo is UTC


def test_what_depends_on_the_run_is_blank(record: RunRecord) -> None:
    assert (record.run_id, record.stages, record.trial_id, record.seed) == ("", "", "", 0)
    assert (record.status, record.error, record.attempt, record.step) == ("ok", None, 0, 0)
    assert (record.hyper, record.metrics) == ({}, ())
