from pathlib import Path

import pytest

from distmerge.actors import Place
from distmerge.spec import ModelFiles, RayConfig, load_tower_config
from distmerge.sweep.plan.layout import (
    Node,
    actor_places,
    alive_nodes,
    cluster_section,
    decided,
    placement_rows,
)
from tests.coordinator.sessions import source_of
from tests.sweep.studies import study_of

GPU = {"CPU": 8.0, "GPU": 2.0, "accelerator_type:L4": 1.0}
NODES = {"aaaaaaaa": Node("10.0.0.1", {"CPU": 0.0}), "bbbbbbbb": Node("10.0.0.2", GPU)}


def test_without_an_address_no_cluster_is_asked(
    world: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert alive_nodes(study_of(world, tmp_path)) == {}


@pytest.mark.parametrize(
    ("ray", "text"),
    [
        ({}, "of 1 CPU and a GPU if there is one; trials of 1 CPU and a GPU if there is one"),
        ({"actor_gpus": 0, "trial_gpus": 0.25}, "of 1 CPU 0 GPU; trials of 1 CPU 0.25 GPU"),
    ],
)
def test_what_is_asked_of_ray_is_shown(
    ray: dict[str, float], text: str, world: ModelFiles, tmp_path: Path
) -> None:
    ((line,),) = cluster_section(study_of(world, tmp_path, ray=ray)).rows
    assert text in str(line)


def test_the_nodes_are_shown_with_what_is_pinned_there(world: ModelFiles, tmp_path: Path) -> None:
    study = study_of(world, tmp_path, ray={"trial_gpus": 0.25, "gradient": "actors"})
    assert isinstance(study.ray, RayConfig)
    study = study.model_copy(update={"ray": decided(study.ray, NODES)})
    places = actor_places(study, source_of(world), load_tower_config(world.tower), NODES)
    assert [*placement_rows(study, NODES, places)][1:] == [
        ("10.0.0.1 aaaaaa", "0", "0", "none"),
        ("10.0.0.2 bbbbbb", "8", "2 L4", "alpha, beta, gamma, pretrained"),
        ("trials at a time: 4",),
    ]


def test_models_that_take_turns_are_marked(world: ModelFiles, tmp_path: Path) -> None:
    places = [Place("bbbbbbbb", at_once=2, models=("alpha", "beta", "gamma"))]
    study = study_of(world, tmp_path, ray={"max_concurrent": 3})
    *_, there, trials = placement_rows(study, NODES, places)
    assert there[-1] == "alpha, beta, gamma (2 at a time)"
    assert trials == ("trials at a time: 3",)
