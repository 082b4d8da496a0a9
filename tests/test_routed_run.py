"""A routed model's run and what it is compared with, by way of the main path."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from distmerge.evaluation import MEAN
from distmerge.results import REFERENCES, RunRecord
from distmerge.run import Session, references, run
from distmerge.spec import ModelFiles, Value
from distmerge.sweep import run_sweep
from tests.coordinator.sessions import config_of, ignored, session_of
from tests.sweep.studies import console, study_of

QUICK: Mapping[str, Value] = {
    "bd_merging.head_steps": 6,
    "bd_merging.warm_up": 6,
    "bd_merging.views": 0,
    "bd_merging.steps": 6,
    "bd_merging.batch_size": 4,
}


@pytest.fixture(scope="module")
def session(world: ModelFiles) -> Session:
    return session_of(world, "report")


def means(record: RunRecord) -> Mapping[tuple[str, str], float]:
    return {(m.suite, m.metric): m.value for m in record.metrics if m.task == MEAN}


def test_a_routed_run_says_how_well_it_routes(session: Session) -> None:
    found = means(run(session, config_of(QUICK, "bd_merging"), ignored)[1])
    assert 0 <= found["clean", "accuracy_withheld"] <= found["clean", "routing_accuracy"] <= 1
    assert ("clean", "uncertainty_auroc") in found


def test_without_a_router_there_is_no_routing_to_measure(session: Session) -> None:
    config = config_of({**QUICK, "bd_merging.router": "none"}, "bd_merging")
    assert not [name for _, name in means(run(session, config, ignored)[1]) if "routing" in name]


def test_crossed_facts_give_what_routing_is_up_against(session: Session) -> None:
    records = {record.stages: record for record in references(session)}
    assert list(records) == ["pretrained", "individual", "one_expert", "nearest_centroid"]
    assert set(records) == set(REFERENCES)
    assert len({record.run_id for record in records.values()}) == 4
    best, nearest = means(records["one_expert"]), means(records["nearest_centroid"])
    individual, base = means(records["individual"]), means(records["pretrained"])
    for found in (best, nearest):
        assert base["clean", "accuracy"] < found["clean", "accuracy"]
        assert found["clean", "accuracy"] < individual["clean", "accuracy"]
    assert nearest["clean", "accuracy_withheld"] <= nearest["clean", "routing_accuracy"]
    assert ("clean", "routing_accuracy") not in individual


def test_without_crossed_facts_there_are_two_references(world: ModelFiles) -> None:
    found = [record.stages for record in references(session_of(world))]
    assert found == ["pretrained", "individual"]


def test_a_sweep_shows_them_and_leaves_levels_blank_that_they_lack(
    world: ModelFiles, tmp_path: Path
) -> None:
    pipelines = [{"stages": ["bd_merging"], "settings": dict(QUICK)}]
    study = study_of(world, tmp_path, pipelines=pipelines, levels=["L1"], ray=False)
    board = run_sweep(study, console()).leaderboard.set_index("method")
    assert set(board.index) == {"bd_merging", *REFERENCES}
    assert board["accuracy"].notna().all()
    without = board.index[board["mean.L1"].isna()]
    assert set(without) == {"one_expert", "nearest_centroid"}
