import re

import pytest

from distmerge.actors.placement import (
    Load,
    Nodes,
    Place,
    actor_resources,
    for_cluster,
    in_the_way,
    num_trials,
    place_actors,
    settled,
    trial_resources,
)
from distmerge.errors import CapacityError
from distmerge.spec import RayConfig

MODELS = [f"task{i}" for i in range(8)]
GIB = 2**30
ON_GPUS = RayConfig(actor_gpus=1.0, trial_gpus=1.0)


def gpus(number: float, kind: str = "", cpus: float = 64.0) -> dict[str, float]:
    """Give what a node with GPUs offers, as Ray says it."""
    return {"CPU": cpus, "GPU": number} | ({f"accelerator_type:{kind}": 1.0} if kind else {})


def pinned(config: RayConfig, nodes: Nodes, load: Load | None = None) -> list[tuple[str, int]]:
    """Give every actor's node and number of models."""
    places = place_actors(config, load or Load(MODELS), nodes)
    return [(place.node, len(place.models)) for place in places]


@pytest.mark.parametrize("actors", [1, 2, 3, 5, 8])
def test_every_model_is_pinned_once_and_loads_differ_by_one(actors: int) -> None:
    places = place_actors(RayConfig(actors=actors), Load(MODELS), {"a": {"CPU": 64.0}})
    assert sorted(model for place in places for model in place.models) == MODELS
    sizes = [len(place.models) for place in places]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("config", "nodes", "expected"),
    [
        (RayConfig(), {"a": {"CPU": 2.0}}, 2),
        (RayConfig(), {"a": {"CPU": 64.0}}, 8),
        (RayConfig(actors=3), {"a": {"CPU": 4.0}}, 3),
        (RayConfig(actors=20), {"a": {"CPU": 64.0}}, 8),
        (RayConfig(actor_cpus=3.0), {"a": {"CPU": 4.0}, "b": {"CPU": 4.0}}, 2),
        (RayConfig(actor_gpus=1.0), {"a": gpus(4.0)}, 4),
        (RayConfig(actor_gpus=0.25), {"a": gpus(1.0)}, 4),
        (RayConfig(actor_gpus=0.4), {"a": gpus(2.0)}, 4),
        (RayConfig(actor_gpus=2.0), {"a": gpus(5.0)}, 2),
        (RayConfig(gradient="actors"), {"a": {"CPU": 4.0}}, 3),
        (RayConfig(gradient="actors", actor_gpus=0.5, trial_gpus=0.5), {"a": gpus(2.0)}, 3),
        (RayConfig(gradient="actors", trial_cpus=2), {"a": {"CPU": 2.0}, "b": {"CPU": 5.0}}, 5),
    ],
)
def test_there_is_an_actor_per_model_or_as_many_as_fit(
    config: RayConfig, nodes: Nodes, expected: int
) -> None:
    assert len(pinned(config, nodes)) == expected


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_the_trial_beside_the_actors_leaves_them_spread_whatever_the_order(names: str) -> None:
    nodes: Nodes = {name: {"CPU": {"a": 2.0, "b": 1.0}[name]} for name in names}
    found = pinned(RayConfig(gradient="actors"), nodes, Load(MODELS[:2]))
    assert sorted(found) == [("a", 1), ("b", 1)]


def test_eight_models_are_spread_one_per_gpu_over_four_nodes() -> None:
    nodes = {name: gpus(2.0) for name in "abcd"}
    assert pinned(ON_GPUS, nodes) == [(name, 1) for name in "abcdabcd"]


def test_fewer_models_than_gpus_take_a_node_each() -> None:
    nodes = {name: gpus(8.0) for name in "abcd"}
    assert pinned(ON_GPUS, nodes, Load(MODELS[:3])) == [("a", 1), ("b", 1), ("c", 1)]


def test_more_models_than_gpus_share_them_evenly() -> None:
    assert pinned(ON_GPUS, {"a": gpus(2.0), "b": gpus(1.0)}) == [("a", 3), ("b", 3), ("a", 2)]


def test_a_large_gpu_takes_the_models_that_a_small_one_has_no_room_for() -> None:
    nodes = {"small": gpus(1.0, "T4"), "large": gpus(1.0, "H100")}
    load = Load(MODELS, model=6 * GIB, actor=2 * GIB)  # 14.4 and 72 GiB to use: 2 and 11 models
    places = place_actors(ON_GPUS, load, nodes)
    assert [(p.node, p.kind, p.at_once, len(p.models)) for p in places] == [
        ("large", "H100", 11, 6),
        ("small", "T4", 2, 2),
    ]
    assert actor_resources(ON_GPUS, "T4") == {"CPU": 1.0, "GPU": 1.0, "accelerator_type:T4": 0.001}


def test_a_gpu_that_holds_no_model_is_left_out() -> None:
    nodes = {"small": gpus(4.0, "T4"), "large": gpus(2.0, "A100-80G")}
    assert pinned(ON_GPUS, nodes, Load(MODELS, 30 * GIB)) == [("large", 4), ("large", 4)]


def test_models_that_do_not_fit_together_take_turns() -> None:
    (place,) = place_actors(ON_GPUS, Load(MODELS, 6 * GIB), {"a": gpus(1.0, "T4")})
    assert (place.at_once, place.models, place.kind) == (2, tuple(MODELS), "")


def test_a_share_of_a_gpu_has_its_share_of_the_memory() -> None:
    config = RayConfig(actor_gpus=0.5, gpu_memory_gb=16.0)
    places = place_actors(config, Load(MODELS, 3 * GIB, GIB), {"a": gpus(1.0)})
    assert [place.at_once for place in places] == [2, 2]


def test_the_memory_that_a_study_names_is_believed() -> None:
    config = RayConfig(actor_gpus=1.0, gpu_memory_gb=12.0)
    (place,) = place_actors(config, Load(MODELS, 6 * GIB), {"a": gpus(1.0, "GeForce-RTX-5090")})
    assert place.at_once == 2


def test_of_a_gpu_that_is_not_known_memory_is_no_limit() -> None:
    (place,) = place_actors(ON_GPUS, Load(MODELS, 600 * GIB), {"a": gpus(1.0, "Ascend910B")})
    assert place.at_once is None


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [({"a": {"CPU": 4.0}}, 0.0), ({"a": {"CPU": 4.0}, "b": gpus(1.0)}, 1.0), ({}, 0.0)],
)
def test_gpus_are_used_where_there_are_any_unless_the_study_says(
    nodes: Nodes, expected: float
) -> None:
    config = for_cluster(RayConfig(trial_gpus=0.25), nodes)
    assert (config.actor_gpus, config.trial_gpus) == (expected, 0.25)
    assert for_cluster(RayConfig(actor_gpus=0.0), nodes).actor_gpus == 0.0


@pytest.mark.parametrize(
    ("config", "nodes", "problem"),
    [
        (
            RayConfig(actors=5),
            {"a": {"CPU": 2.0}},
            r"5 actors of 1 CPU on one node each; 2 fit; .* 2 CPU",
        ),
        (
            RayConfig(actor_gpus=1.0),
            {"a": {"CPU": 2.0}},
            r"1 actors of 1 CPU, 1 GPU on one node each; 0 fit",
        ),
        (
            RayConfig(trial_gpus=1.0),
            {"a": {"CPU": 2.0}, "b": {"CPU": 1.0}},
            r"a trial asks for 1 CPU, 1 GPU on one node; .* 3 CPU, 0 GPU on 2 nodes",
        ),
        (RayConfig(gradient="actors"), {"a": {"CPU": 1.0}}, r"1 actors .* 0 fit beside a trial"),
        (RayConfig(), {}, r"a trial asks for 1 CPU on one node; the cluster has 0 CPU, 0 GPU"),
    ],
)
def test_what_a_cluster_lacks_is_said(config: RayConfig, nodes: Nodes, problem: str) -> None:
    with pytest.raises(CapacityError, match=problem):
        place_actors(config, Load(MODELS), nodes)


def test_all_shortages_are_listed_at_once() -> None:
    config = RayConfig(actors=3, actor_gpus=1.0, trial_gpus=1.0)
    with pytest.raises(CapacityError) as caught:
        place_actors(config, Load(MODELS), {"a": {"CPU": 2.0}})
    assert "ray.actors" in str(caught.value)
    assert "ray.trial_cpus" in str(caught.value)


def test_a_gpu_too_small_for_one_model_is_said() -> None:
    with pytest.raises(CapacityError, match=r"ray\.actor_gpus: 1: a model .* need 21\.0 GiB"):
        place_actors(ON_GPUS, Load(MODELS, 20 * GIB, GIB), {"a": gpus(8.0, "T4")})


def test_trials_that_would_not_fit_a_gpu_together_are_said() -> None:
    config, load = RayConfig(trial_gpus=0.25), Load(MODELS, trial=7 * GIB)
    said = "0.25 lets 4 trials of 7.0 GiB share a GPU (L4) with 21.6 GiB to use"
    with pytest.raises(CapacityError, match=re.escape(said)):
        place_actors(config, load, {"a": gpus(8.0, "L4"), "b": gpus(8.0, "H100")})
    place_actors(RayConfig(trial_gpus=1 / 3), load, {"a": gpus(8.0, "L4")})
    place_actors(RayConfig(trial_gpus=0.25, max_concurrent=3), load, {"a": gpus(8.0, "L4")})


@pytest.mark.parametrize(
    ("config", "actors", "total", "expected"),
    [
        (RayConfig(), 0, {"CPU": 2.0}, 2),
        (RayConfig(trial_cpus=4), 0, {"CPU": 10.0}, 2),
        (RayConfig(gradient="actors"), 3, {"CPU": 4.0}, 1),
        (RayConfig(trial_gpus=0.25), 0, {"CPU": 64.0, "GPU": 2.0}, 8),
        (RayConfig(actor_gpus=1.0, trial_gpus=0.5), 2, {"CPU": 64.0, "GPU": 4.0}, 4),
        (RayConfig(), 0, {}, 1),
    ],
)
def test_as_many_trials_fit_as_the_actors_leave_room_for(
    config: RayConfig, actors: int, total: dict[str, float], expected: int
) -> None:
    assert num_trials(config, actors, total) == expected


def test_a_gpu_is_asked_for_only_where_the_study_gives_one() -> None:
    config = RayConfig(actor_cpus=2.0, trial_gpus=0.5)
    assert actor_resources(config) == {"CPU": 2.0}
    assert trial_resources(config) == {"CPU": 1.0, "GPU": 0.5}


def test_models_stay_where_they_are_when_an_actor_is_lost_or_comes() -> None:
    there = [Place("a", models=("k", "l")), Place("b", models=("m",))]
    lost = settled("klmno", there)
    assert [place.models for place in lost] == [("k", "l", "o"), ("m", "n")]
    again = settled("klmno", [*lost, Place("c")])
    assert [place.models for place in again] == [("k", "l"), ("m", "n"), ("o",)]


def test_an_actor_that_is_full_is_passed_over() -> None:
    there = [Place("a", at_once=1, models=("k",)), Place("b", models=("l", "m"))]
    assert [place.models for place in settled("klmn", there)] == [("k",), ("l", "m", "n")]


def test_an_actor_gives_what_it_cannot_hold_to_one_that_comes() -> None:
    there = [Place("small", at_once=2, models=tuple("klmno")), Place("large", at_once=9)]
    assert [place.models for place in settled("klmno", there)] == [("k", "l"), ("m", "n", "o")]


@pytest.mark.parametrize(
    ("actors", "nodes", "expected"),
    [
        ({"a": 2, "b": 1}, {"a": {"CPU": 2.0}, "b": {"CPU": 2.0}}, ()),
        ({"a": 2}, {"a": {"CPU": 2.0}}, ("a",)),
        ({"a": 4, "b": 3}, {"a": {"CPU": 4.0}, "b": {"CPU": 3.5}}, ("a",)),
        ({"a": 1}, {"a": {"CPU": 1.0}}, ()),
        ({"a": 1, "b": 1}, {"a": {"CPU": 1.0}, "b": {"CPU": 1.0}}, ("a",)),
        ({"a": 1, "lost": 1}, {"a": {"CPU": 2.0}}, ()),
        ({}, {}, ()),
    ],
)
def test_actors_leave_until_one_trial_fits_and_one_of_them_stays(
    actors: dict[str, int], nodes: Nodes, expected: tuple[str, ...]
) -> None:
    assert in_the_way(RayConfig(gradient="actors"), actors, nodes) == expected


def test_as_few_actors_leave_as_a_trial_needs() -> None:
    config = RayConfig(gradient="actors", actor_gpus=0.5, trial_gpus=1.0, trial_cpus=2.0)
    nodes = {"a": gpus(2.0, cpus=5.0), "b": gpus(1.0, cpus=4.0)}
    assert in_the_way(config, {"a": 4, "b": 2}, nodes) == ("a", "a")


def test_actors_of_nodes_to_come_go_anywhere() -> None:
    config = RayConfig(autoscaled=True, actors=3, actor_gpus=1, trial_gpus=1, gpu_memory_gb=16)
    places = place_actors(config, Load(MODELS, 6 * GIB), {})
    assert [(place.node, place.at_once, len(place.models)) for place in places] == [
        ("", 2, 3),
        ("", 2, 3),
        ("", 2, 2),
    ]
    with pytest.raises(CapacityError, match=r"a model .* need 20\.0 GiB"):
        place_actors(config, Load(MODELS, 20 * GIB), {})
