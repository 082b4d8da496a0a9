import subprocess
import sys
import time
from math import prod
from pathlib import Path

import pytest

from distmerge.errors import CheckpointError, ConfigError
from distmerge.models import tower_shapes
from distmerge.spec import ModelFiles, Preprocess, TowerConfig
from distmerge.sweep import plan_lines, run_sweep
from tests.sweep.headers import write_sparse
from tests.sweep.studies import console, study_of
from tests.test_golden import compare

TWO = [{"stages": ["weight_averaging"]}, {"stages": ["task_arithmetic"], "trials": 3}]
B32 = TowerConfig(
    image_size=224,
    patch_size=32,
    width=768,
    layers=12,
    heads=12,
    output_dim=512,
    preprocess=Preprocess(size=224, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
)


def test_a_plan_says_what_runs_on_what_and_where(
    world: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTMERGE_CACHE", str(tmp_path / "empty"))
    study = study_of(world, tmp_path, pipelines=TWO, study="golden")
    text = "\n".join(plan_lines(study)) + "\n"
    compare("plan.txt", text.replace(str(tmp_path), "RESULTS"))


def test_a_plan_shows_settings_and_ranges(world: ModelFiles, tmp_path: Path) -> None:
    lines = list(plan_lines(study_of(world, tmp_path)))
    assert "    adamerging.steps = 12" in lines
    assert "    surgery.rank = one of 4, 8, 16, 32" in lines
    assert "    surgery.lr = 0.0003 to 0.003, logarithmic" in lines
    assert lines[-1] == f"results: {tmp_path}; runs still to do: 7"


def test_a_pipeline_of_one_run_shows_its_settings_and_no_ranges(
    world: ModelFiles, tmp_path: Path
) -> None:
    pipelines = [{"stages": ["task_arithmetic"]}]
    lines = list(plan_lines(study_of(world, tmp_path, pipelines=pipelines)))
    assert "    task_arithmetic.scaling = 0.3" in lines


@pytest.mark.parametrize(("repeats", "more"), [(2, "1 more seed"), (3, "2 more seeds")])
def test_a_plan_counts_the_repeats_of_what_draws_something(
    repeats: int, more: str, world: ModelFiles, tmp_path: Path
) -> None:
    pipelines = [{"stages": ["ties"], "trials": 2}, {"stages": ["adamerging"], "trials": 2}]
    lines = list(plan_lines(study_of(world, tmp_path, pipelines=pipelines, repeats=repeats)))
    assert any(line.startswith("  ties: 2 runs; 2 to do") for line in lines)
    assert any(
        line.startswith(f"  adamerging: 2 runs, then the best one with {more}") for line in lines
    )
    assert lines[-1].endswith(f"runs still to do: {2 + 2 + repeats - 1}")


def test_a_plan_after_a_sweep_knows_what_is_done_cached_and_how_long_it_took(
    world: ModelFiles, tmp_path: Path
) -> None:
    study = study_of(world, tmp_path, pipelines=TWO, ray=False)
    run_sweep(study, console())
    lines = list(plan_lines(study))
    assert lines[-1].endswith("runs still to do: 0")
    assert "  task_arithmetic: 3 runs; all done" in lines
    assert any("0 of 18 roles  the rest is cached" in line for line in lines)
    more = study_of(world, tmp_path, pipelines=[{"stages": ["task_arithmetic"], "trials": 5}])
    line = next(line for line in plan_lines(more) if line.startswith("  task_arithmetic: 5 runs"))
    assert "2 to do, about" in line
    assert "of 3 earlier runs" in line


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


@pytest.mark.ray
def test_with_an_address_a_plan_places_the_actors_on_the_cluster(
    world: ModelFiles, tmp_path: Path, ray_local: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    lines = list(plan_lines(study_of(world, tmp_path, ray={"actors": 2})))
    rows = lines[lines.index("placement") + 2 :]
    assert rows[0].endswith("alpha, gamma; beta, pretrained")


def test_a_plan_imports_neither_ray_nor_open_clip_and_reads_no_tensor(tmp_path: Path) -> None:
    files = write_sparse(tmp_path, B32.model_copy(update={"layers": 1}), num_tasks=2)
    study = study_of(files, tmp_path / "results", pipelines=TWO)
    path = tmp_path / "study.json"
    path.write_text(study.model_dump_json())
    code = (
        "import sys; from distmerge.spec import Study; from distmerge.sweep import plan_lines; "
        f"list(plan_lines(Study.model_validate_json(open({str(path)!r}).read()))); "
        "print(*sorted({'ray', 'open_clip'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


@pytest.mark.slow
def test_a_plan_of_eight_full_size_models_takes_under_five_seconds(tmp_path: Path) -> None:
    files = write_sparse(tmp_path, B32, num_tasks=8)
    assert files.base.stat().st_size > 4 * sum(map(prod, tower_shapes(B32).values()))
    study = study_of(files, tmp_path / "results", pipelines=TWO)
    start = time.process_time()
    lines = list(plan_lines(study))
    assert time.process_time() - start < 5  # of the CPU: the wall belongs to who else is here
    assert any("87,849,216 parameters" in line for line in lines)


def test_a_plan_lists_what_does_not_fit_of_all_files_at_once(
    world: ModelFiles, tmp_path: Path
) -> None:
    alpha, beta, gamma = world.tasks
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not safetensors")
    tasks = (
        alpha.model_copy(update={"checkpoint": broken}),
        beta.model_copy(update={"head": gamma.head}),
        gamma.model_copy(update={"data": tmp_path / "nowhere"}),
    )
    files = world.model_copy(update={"tasks": tasks})
    with pytest.raises(CheckpointError, match="inputs that do not fit:") as caught:
        list(plan_lines(study_of(files, tmp_path)))
    message = str(caught.value)
    assert f"alpha: {broken}: not a readable safetensors file" in message
    assert "beta: head for 4 classes: weight: got shape (5, 8), expected (4, 8)" in message


def test_a_study_that_was_run_with_other_content_is_refused_as_by_the_sweep(
    world: ModelFiles, tmp_path: Path
) -> None:
    pipelines = TWO[:1]
    run_sweep(study_of(world, tmp_path, ray=False, pipelines=pipelines), console())
    other = study_of(world, tmp_path, ray=False, pipelines=pipelines, seed=3)
    with pytest.raises(ConfigError, match=r"was run with other content(.|\n)*seed: was 0, now 3"):
        list(plan_lines(other))


def test_other_models_are_refused_where_a_sweep_has_read_them(
    world: ModelFiles, tmp_path: Path
) -> None:
    fewer = world.model_copy(update={"tasks": world.tasks[:2]})
    pipelines = TWO[:1]
    run_sweep(study_of(fewer, tmp_path / "a", ray=False, pipelines=pipelines), console())
    run_sweep(study_of(world, tmp_path / "b", ray=False, pipelines=pipelines), console())
    with pytest.raises(ConfigError, match=r"models.tasks \(names\): was "):
        list(plan_lines(study_of(fewer, tmp_path / "b", ray=False, pipelines=pipelines)))
