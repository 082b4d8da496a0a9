import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from distmerge.errors import CheckpointError
from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.spec import ModelFiles, RayConfig, Study, ZeroShotHead
from distmerge.sweep import export_run, plan_lines, run_sweep
from distmerge.sweep.prepare import prepare
from tests.coordinator.sessions import ignored
from tests.models.clips import Clip, written_clip
from tests.sweep.studies import console, rows_of, study_of

PIPELINES = [{"stages": ["weight_averaging"]}, {"stages": ["task_arithmetic"], "trials": 2}]
TEMPLATES = ("a photo of {}.", "{}, drawn")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return written_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DISTMERGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def with_texts(world: ModelFiles, clip: Clip, **changes: object) -> ModelFiles:
    """Give the world with heads of class names; no model was tuned for them."""
    content = {"text": clip.text, "model": clip.model, "templates": TEMPLATES, **changes}
    head = ZeroShotHead.model_validate(content)
    tasks = tuple(task.model_copy(update={"head": head}) for task in world.tasks)
    return world.model_copy(update={"tasks": tasks})


def study(files: ModelFiles, storage: Path, **changes: Any) -> Study:
    return study_of(files, storage, pipelines=PIPELINES, ray=False, sanity="off", **changes)


def test_a_sweep_with_class_names_equals_one_with_their_heads_as_files(
    world: ModelFiles, clip: Clip, own_cache: Path, tmp_path: Path
) -> None:
    named = study(with_texts(world, clip), tmp_path / "named", unseen=["gamma"])
    assert run_sweep(named, console()).failed == 0
    made = prepare(named, ignored).source.files
    assert {task.head_file.parent for task in made.tasks} == {own_cache / "heads"}
    filed = study(made, tmp_path / "filed", unseen=["gamma"])
    run_sweep(filed, console())
    pd.testing.assert_frame_equal(rows_of(named), rows_of(filed))


@pytest.mark.ray
def test_actors_give_the_numbers_of_a_sweep_in_this_process(
    world: ModelFiles, clip: Clip, tmp_path: Path, ray_local: None
) -> None:
    files = with_texts(world, clip)
    here = study(files, tmp_path / "here")
    there = here.model_copy(
        update={"storage": str(tmp_path / "there"), "ray": RayConfig(actors=2, actor_cpus=0.5)}
    )
    for one in (here, there):
        assert run_sweep(one, console()).failed == 0
    pd.testing.assert_frame_equal(rows_of(here), rows_of(there), rtol=1e-5, atol=1e-6)


def test_a_plan_makes_no_head_and_imports_no_open_clip(
    world: ModelFiles, clip: Clip, own_cache: Path, tmp_path: Path
) -> None:
    path = tmp_path / "study.json"
    path.write_text(study(with_texts(world, clip), tmp_path / "results").model_dump_json())
    code = (
        "import sys; from distmerge.spec import Study; from distmerge.sweep import plan_lines; "
        f"list(plan_lines(Study.model_validate_json(open({str(path)!r}).read()))); "
        "print(*sorted({'ray', 'open_clip'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
    assert not (own_cache / "heads").exists()


def test_a_plan_lists_what_is_wrong_with_all_heads(
    world: ModelFiles, clip: Clip, tmp_path: Path
) -> None:
    files = with_texts(world, clip, templates=["a photo"], classes=["x", "y", "z"])
    with pytest.raises(CheckpointError, match="inputs that do not fit") as caught:
        list(plan_lines(study(files, tmp_path)))
    lines = str(caught.value).splitlines()[1:]
    assert [line.split(":")[0].strip() for line in lines] == [
        "- task alpha",
        "- task beta",
        "- task gamma",
    ]
    assert all("has 0 times {}" in line for line in lines)
    assert "got 3 names, expected 4" in lines[1]


def test_a_plan_after_the_sweep_knows_what_is_cached(
    world: ModelFiles, clip: Clip, own_cache: Path, tmp_path: Path
) -> None:
    swept = study(with_texts(world, clip), tmp_path / "results")
    run_sweep(swept, console())
    assert any("the rest is cached" in line for line in plan_lines(swept))
    other = study(with_texts(world, clip, templates="a {}"), tmp_path / "results")
    assert any("no sweep has read these files yet" in line for line in plan_lines(other))


def test_a_run_is_exported_with_its_heads(
    world: ModelFiles, clip: Clip, own_cache: Path, tmp_path: Path
) -> None:
    swept = study(with_texts(world, clip), tmp_path / "results")
    run_sweep(swept, console())
    rows = RunStore(swept.storage, HYPERS).finished("tiny")
    run = rows[rows["method"] == "weight_averaging"]["run_id"].iloc[0]
    folder = export_run(run, swept.storage, to=tmp_path / "model")
    assert len(list((folder / "heads").iterdir())) == 3


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"model": "missing.json"}, "model .*missing.json: expected JSON with embed_dim"),
        ({"model": "ViT-B-33"}, "model ViT-B-33: open_clip has none of this name"),
        ({"model": "ViT-B-32"}, "embeds texts in 512 dimensions, the tower images in 8"),
    ],
)
def test_a_plan_refuses_heads_that_a_sweep_cannot_make(
    changes: dict[str, str], problem: str, world: ModelFiles, clip: Clip, tmp_path: Path
) -> None:
    files = with_texts(world, clip, **changes)
    with pytest.raises(CheckpointError, match=f"task alpha: .*{problem}"):
        list(plan_lines(study(files, tmp_path)))
