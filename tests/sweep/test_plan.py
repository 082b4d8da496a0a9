from pathlib import Path

import pytest

from distmerge.spec import ModelFiles
from distmerge.sweep import plan_lines, run_sweep
from tests.sweep.studies import console, study_of


def test_a_plan_says_what_runs_on_what_and_where(world: ModelFiles, tmp_path: Path) -> None:
    lines = list(plan_lines(study_of(world, tmp_path)))
    assert lines[0] == "study tiny, seed 0, protocol disjoint"
    assert "task_arithmetic: 3 runs" in lines
    assert "    adamerging.steps = 12" in lines
    assert "    surgery.rank = one of 4, 8, 16, 32" in lines
    assert "    surgery.lr = 0.0003 to 0.003, logarithmic" in lines
    assert "task beta: 4 classes; images: 40 adapt, 16 select, 24 report" in lines
    assert lines[-1] == f"results: {tmp_path}; runs still to do: 7"


def test_a_pipeline_of_one_run_shows_its_settings_and_no_ranges(
    world: ModelFiles, tmp_path: Path
) -> None:
    pipelines = [{"stages": ["task_arithmetic"]}]
    lines = list(plan_lines(study_of(world, tmp_path, pipelines=pipelines)))
    assert "task_arithmetic: 1 run" in lines
    assert "    task_arithmetic.scaling = 0.3" in lines


@pytest.mark.parametrize(("repeats", "more"), [(2, "1 more seed"), (3, "2 more seeds")])
def test_a_plan_counts_the_repeats_of_what_draws_something(
    repeats: int, more: str, world: ModelFiles, tmp_path: Path
) -> None:
    pipelines = [{"stages": ["ties"], "trials": 2}, {"stages": ["adamerging"], "trials": 2}]
    lines = list(plan_lines(study_of(world, tmp_path, pipelines=pipelines, repeats=repeats)))
    assert "ties: 2 runs" in lines
    assert f"adamerging: 2 runs, then the best one with {more}" in lines
    assert lines[-1].endswith(f"runs still to do: {2 + 2 + repeats - 1}")


def test_a_plan_of_a_finished_study_has_nothing_to_do(world: ModelFiles, tmp_path: Path) -> None:
    study = study_of(world, tmp_path, ray=False)
    run_sweep(study, console())
    lines = list(plan_lines(study))
    assert lines[-1].endswith("runs still to do: 0")
    assert "features: 0 of 18 roles to compute, the rest is cached" in lines


def test_a_plan_of_a_zoo_that_is_not_built_does_not_build_it(
    world: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTMERGE_CACHE", str(tmp_path))
    lines = list(plan_lines(study_of(world, tmp_path, models={"zoo": "tiny"})))
    assert lines[-1].startswith("models: the zoo is not built yet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("ray", "text"),
    [
        (False, "ray: false, everything in this process"),
        ({"actors": 3, "actor_gpus": 0.5}, "ray: actors: 3, of 1 CPU 0.5 GPU"),
        ({"gradient": "actors"}, "gradients by the actors"),
    ],
)
def test_a_plan_shows_the_layout(ray: object, text: str, world: ModelFiles, tmp_path: Path) -> None:
    assert any(text in line for line in plan_lines(study_of(world, tmp_path, ray=ray)))
