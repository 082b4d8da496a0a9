import pytest

from distmerge.actors.placement import (
    actor_resources,
    assign,
    num_actors,
    num_trials,
    trial_resources,
)
from distmerge.errors import CapacityError
from distmerge.spec import RayConfig

MODELS = [f"task{i}" for i in range(8)]


@pytest.mark.parametrize("actors", [1, 2, 3, 5, 8])
def test_every_model_is_pinned_once_and_loads_differ_by_one(actors: int) -> None:
    assigned = assign(MODELS, actors)
    assert sorted(model for models in assigned for model in models) == MODELS
    sizes = [len(models) for models in assigned]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("config", "total", "expected"),
    [
        (RayConfig(), {"CPU": 2.0}, 2),
        (RayConfig(), {"CPU": 64.0}, 8),
        (RayConfig(actors=3), {"CPU": 4.0}, 3),
        (RayConfig(actors=20), {"CPU": 64.0}, 8),
        (RayConfig(actor_gpus=1.0), {"CPU": 64.0, "GPU": 4.0}, 4),
        (RayConfig(actor_gpus=0.25), {"CPU": 64.0, "GPU": 1.0}, 4),
        (RayConfig(gradient="actors"), {"CPU": 4.0}, 3),
    ],
)
def test_there_is_an_actor_per_model_or_as_many_as_fit(
    config: RayConfig, total: dict[str, float], expected: int
) -> None:
    assert num_actors(config, len(MODELS), total) == expected


@pytest.mark.parametrize(
    ("config", "total", "problem"),
    [
        (RayConfig(actors=5), {"CPU": 2.0}, r"5 actors of 1 CPU each; 2 fit; .* 2 CPU, 0 GPU"),
        (RayConfig(actor_gpus=1.0), {"CPU": 2.0}, r"1 actors of 1 CPU, 1 GPU each; 0 fit"),
        (RayConfig(trial_gpus=1.0), {"CPU": 2.0}, r"a trial asks for 1 CPU, 1 GPU; .* 0 GPU"),
        (RayConfig(gradient="actors"), {"CPU": 1.0}, r"1 actors .* 0 fit beside a trial"),
    ],
)
def test_what_a_cluster_lacks_is_said(
    config: RayConfig, total: dict[str, float], problem: str
) -> None:
    with pytest.raises(CapacityError, match=problem):
        num_actors(config, len(MODELS), total)


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


def test_all_shortages_are_listed_at_once() -> None:
    config = RayConfig(actors=3, actor_gpus=1.0, trial_gpus=1.0)
    with pytest.raises(CapacityError) as caught:
        num_actors(config, len(MODELS), {"CPU": 2.0})
    assert "ray.actors" in str(caught.value)
    assert "ray.trial_cpus" in str(caught.value)


def test_a_gpu_is_asked_for_only_where_the_study_gives_one() -> None:
    config = RayConfig(actor_cpus=2.0, trial_gpus=0.5)
    assert actor_resources(config) == {"CPU": 2.0}
    assert trial_resources(config) == {"CPU": 1.0, "GPU": 0.5}
