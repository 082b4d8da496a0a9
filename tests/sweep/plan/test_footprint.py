from pathlib import Path
from typing import Any

import pytest

from distmerge.actors import Place
from distmerge.coordinator import FeatureKey
from distmerge.spec import ModelFiles
from distmerge.sweep.inputs import read_inputs
from distmerge.sweep.plan.estimate import fact_bytes, size_text
from distmerge.sweep.plan.footprint import memory, num_parameters
from tests.coordinator.sessions import session_of, source_of
from tests.sweep.studies import study_of
from tests.world import TOWER


def test_the_parameters_are_those_of_the_bank(world: ModelFiles) -> None:
    bank = session_of(world).vectors
    assert num_parameters(read_inputs(source_of(world)).config) == bank.layout.num_parameters


def test_the_bytes_of_facts_are_those_of_the_arrays(world: ModelFiles) -> None:
    session = session_of(world)
    facts = session.models.facts("alpha", "alpha", "select")
    arrays = (facts.layers, facts.features, facts.logits, facts.confidence)
    key = FeatureKey("alpha", "alpha", "select", "")
    found = fact_bytes(TOWER, key, {("alpha", "select"): 16}, {"alpha": 3})
    assert found == sum(array.nbytes for array in arrays)


def test_an_actor_of_several_models_and_thinned_vectors_need_more(
    world: ModelFiles, tmp_path: Path
) -> None:
    inputs = read_inputs(source_of(world))
    study = study_of(world, tmp_path, pipelines=[{"stages": ["ties"]}])
    places = [Place("a", models=("alpha", "gamma")), Place("b", models=("beta",))]
    held = memory(study, inputs, source_of(world), places=places, keys=())
    rows = {row[0]: row[2] for row in held.rows}
    assert str(rows["per actor"]).startswith("2 models and")
    assert "the thinned vectors of ties" in str(rows["per trial"])


def test_actors_that_compute_gradients_thin_vectors_too(world: ModelFiles, tmp_path: Path) -> None:
    plain, thinned = (
        rows_of(world, tmp_path, ray={"gradient": "actors"}, pipelines=[{"stages": [stage]}])
        for stage in ("adamerging", "ties")
    )
    assert "the thinned vectors of ties" in str(thinned["per actor"][1])
    assert thinned["per actor"][0] != plain["per actor"][0]


def rows_of(world: ModelFiles, folder: Path, **changes: Any) -> dict[object, tuple[object, ...]]:
    study, inputs = study_of(world, folder, **changes), read_inputs(source_of(world))
    keys = session_of(world).digests.keys
    held = memory(study, inputs, source_of(world), places=(), keys=keys)
    return {row[0]: row[1:] for row in held.rows}


def test_task_vectors_in_half_precision_need_half(world: ModelFiles, tmp_path: Path) -> None:
    bank = session_of(world).vectors
    halved = rows_of(world, tmp_path, bank="bfloat16")["per node"]
    assert halved[0] == size_text(bank.base.nbytes + bank.vectors.nbytes // 2)
    assert "task vectors in bfloat16" in str(halved[1])
    assert rows_of(world, tmp_path)["per node"][0] == size_text(
        bank.base.nbytes + bank.vectors.nbytes
    )


def test_one_process_holds_all_facts_but_layers(world: ModelFiles, tmp_path: Path) -> None:
    facts = [session_of(world).models.facts(*key[:3]) for key in session_of(world).digests.keys]
    held = sum(f.features.nbytes + f.logits.nbytes + f.confidence.nbytes for f in facts)
    held += max(f.layers.nbytes for f in facts)
    assert rows_of(world, tmp_path, ray=False)["facts"][0] == size_text(held)
    assert "facts" not in rows_of(world, tmp_path)


@pytest.mark.parametrize(
    ("size", "text"),
    [(12, "12 B"), (2048, "2.0 KiB"), (350 * 2**20, "350.0 MiB"), (3 * 2**30, "3.0 GiB")],
)
def test_sizes_are_for_people(size: int, text: str) -> None:
    assert size_text(size) == text
