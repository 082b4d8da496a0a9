import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from distmerge.coordinator import load_vectors
from distmerge.models import Tower
from distmerge.spec import ModelFiles
from distmerge.sweep import SweepResult, run_sweep
from distmerge.taskvectors import merge
from tests.coordinator.sessions import source_of
from tests.sweep.studies import console, study_of
from tests.world import TOWER


def swept(world: ModelFiles, folder: Path, *stages: str, **settings: object) -> SweepResult:
    pipelines = [{"stages": list(stages), "settings": settings}]
    return run_sweep(study_of(world, folder, ray=False, pipelines=pipelines), console())


def test_the_best_model_loads_into_open_clip_and_is_the_merge(
    world: ModelFiles, tmp_path: Path
) -> None:
    from open_clip.transformer import VisionTransformer

    result = swept(world, tmp_path, "task_arithmetic", **{"task_arithmetic.scaling": 0.25})
    assert result.best is not None
    state = load_file(result.best.tower)
    plain = VisionTransformer(
        image_size=16, patch_size=8, width=16, layers=2, heads=2, mlp_ratio=4.0, output_dim=8
    )
    plain.load_state_dict(state, strict=True)
    vectors = load_vectors(source_of(world), Tower(TOWER))
    coefficients = torch.full((3, len(vectors.layout.segments)), 0.25, dtype=torch.float64)
    assert torch.equal(vectors.layout.flatten(state), merge(vectors, coefficients))


def test_the_best_model_carries_its_recipe(world: ModelFiles, tmp_path: Path) -> None:
    result = swept(world, tmp_path, "task_arithmetic", **{"task_arithmetic.scaling": 0.25})
    assert result.best is not None
    with safe_open(result.best.tower, framework="pt") as file:
        recipe = json.loads(file.metadata()["distmerge"])
    assert recipe["method"] == "task_arithmetic"
    assert recipe["hyper"] == {"task_arithmetic.scaling": 0.25}
    assert recipe["run_id"] == result.best.run_id
    assert recipe["tasks"] == ["alpha", "beta", "gamma"]
    assert len(recipe["checkpoint_digests"]) == 3
    assert recipe["tower"]["width"] == 16


def test_corrections_lie_beside_the_tower_they_correct(world: ModelFiles, tmp_path: Path) -> None:
    settings = {"surgery.steps": 5, "surgery.rank": 4}
    result = swept(world, tmp_path, "weight_averaging", "surgery", **settings)
    assert result.best is not None
    assert result.best.corrections is not None
    shapes = {name: tuple(t.shape) for name, t in load_file(result.best.corrections).items()}
    assert shapes["alpha.down"] == (4, 8)
    assert shapes["gamma.up"] == (8, 4)


def test_a_router_lies_beside_the_base_that_it_adds_to(world: ModelFiles, tmp_path: Path) -> None:
    settings = {
        "bd_merging.head_steps": 2,
        "bd_merging.warm_up": 2,
        "bd_merging.steps": 2,
        "bd_merging.hidden": 8,
    }
    result = swept(world, tmp_path, "bd_merging", **settings)
    assert result.best is not None
    assert result.best.router is not None
    vectors = load_vectors(source_of(world), Tower(TOWER))
    assert torch.equal(vectors.layout.flatten(load_file(result.best.tower)), vectors.base)
    shapes = {name: tuple(t.shape) for name, t in load_file(result.best.router).items()}
    assert shapes["router.hidden.weight"] == (8, 16)
    assert shapes["router.beta.weight"] == (1, 8)
    assert shapes["evidence.gamma.weight"] == (5, 8)
    with safe_open(result.best.router, framework="pt") as file:
        assert json.loads(file.metadata()["router_input"]) == "averaged"
        assert json.loads(file.metadata()["distmerge"])["method"] == "bd_merging"


def test_tasks_own_tensors_lie_beside_the_tower(world: ModelFiles, tmp_path: Path) -> None:
    result = swept(world, tmp_path, "tinting", **{"tinting.steps": 2})
    assert result.best is not None
    assert result.best.own is not None
    assert {name.split(".")[0] for name in load_file(result.best.own)} == {"alpha", "beta", "gamma"}
