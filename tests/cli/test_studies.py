import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from distmerge.cli import main
from distmerge.models import save_state
from distmerge.spec import ModelFiles
from tests.cli.messages import failure
from tests.sweep.studies import DIVERGING, content_of, written
from tests.world import arrays_of, build_world

HERE = {"ray": False}


def test_a_sweep_prints_its_leaderboard_and_says_where_the_best_model_is(
    world: ModelFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", str(written(world, tmp_path, **HERE))]) == 0
    output = capsys.readouterr().out
    for text in ("task_arithmetic+surgery", "individual", "pretrained", "model.safetensors"):
        assert text in output


def test_a_failed_run_makes_the_exit_code_one(
    world: ModelFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", str(written(world, tmp_path, pipelines=DIVERGING, **HERE))]) == 1
    assert "1 runs failed" in capsys.readouterr().err


def test_a_plan_starts_nothing(
    world: ModelFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", str(written(world, tmp_path)), "--plan"]) == 0
    output = capsys.readouterr().out
    assert "task_arithmetic.scaling = 0.05 to 0.6" in output
    assert "runs still to do: 7" in output
    assert not (tmp_path / "results").exists()


def test_the_leaderboard_is_printed_again_as_a_table_and_as_json(
    world: ModelFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["sweep", str(written(world, tmp_path, **HERE))])
    capsys.readouterr()
    root = str(tmp_path / "results")
    assert main(["leaderboard", root]) == 0
    assert "weight_averaging" in capsys.readouterr().out
    assert main(["leaderboard", root, "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert {row["method"] for row in table} >= {"individual", "adamerging", "weight_averaging"}


def test_a_leaderboard_of_nothing_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no results here" in failure(capsys, "leaderboard", str(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("change", "places"),
    [
        ({"sed": 1}, ["sed: unknown key", "did you mean 'seed'"]),
        ({"seed": "one"}, ["seed: ", "'one'"]),
        ({"seed": -1, "block": 0}, ["seed: ", "block: "]),
        ({"pipelines": [{"stages": ["magic"]}]}, ["pipelines.0.stages", "unknown method 'magic'"]),
        (
            {"pipelines": [{"stages": ["adamerging"], "settings": {"adamerging.lr": -1}}]},
            ["pipelines.0.settings.adamerging.lr", "greater than 0", "-1"],
        ),
        (
            {"pipelines": [{"stages": ["surgery"]}]},
            ["pipelines.0.stages", "cannot stand first"],
        ),
        (
            {"pipelines": [{"stages": ["adamerging"], "settings": {"adamerging.batch_size": 99}}]},
            ["pipelines.0", "adamerging draws 198 samples", "task alpha has 40", "task gamma"],
        ),
        (
            {
                "pipelines": [
                    {
                        "stages": ["adamerging"],
                        "trials": 2,
                        "settings": {"adamerging.batch_size": {"choice": [4, 99]}},
                    }
                ]
            },
            ["pipelines.0", "adamerging draws 198 samples"],
        ),
        ({"seed": 10**20}, ["seed: ", "less than"]),
        ({"ray": {"timeout_s": 1e300}}, ["ray.timeout_s: "]),
        (
            {"ray": {"trial_cpus": 1e-9, "actor_gpus": 1.5}},
            ["ray.trial_cpus: ", "a share of one GPU"],
        ),
        ({"unseen": ["omega"]}, ["unseen: no such task: omega"]),
    ],
)
def test_a_wrong_study_is_one_message_with_its_places(
    change: dict[str, object],
    places: list[str],
    world: ModelFiles,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    message = failure(capsys, "sweep", str(written(world, tmp_path, **{**HERE, **change})))
    for place in places:
        assert place in message
    assert not (tmp_path / "results").exists()


def test_a_missing_study_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "absent.yaml: cannot read" in failure(capsys, "sweep", "absent.yaml")


def test_two_studies_are_one_too_many(capsys: pytest.CaptureFixture[str]) -> None:
    assert "expected one study file, got 2" in failure(capsys, "sweep", "a.yaml", "b.yaml")


@pytest.mark.ray
def test_a_cluster_that_is_too_small_is_an_error(
    world: ModelFiles,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    ray_local: None,
) -> None:
    path = written(world, tmp_path, ray={"actors": 99, "trial_gpus": 1})
    message = failure(capsys, "sweep", str(path))
    assert "ray.actors: 99 actors of 1 CPU on one node each; 4 fit" in message
    assert "a trial asks for 1 CPU, 1 GPU" in message


def test_broken_files_of_several_tasks_are_listed_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = build_world(tmp_path / "world")
    alpha, beta, gamma = (arrays_of(task) for task in files.tasks)
    np.save(alpha / "adapt.images.npy", np.zeros((0, 16, 16, 3), np.uint8))
    (beta / "classes.json").write_text('["one", "two"]')
    (gamma / "report.images.npy").unlink()
    message = failure(capsys, "sweep", str(written(files, tmp_path, **HERE)))
    for text in ("task alpha", "holds 0 samples", "task beta", "task gamma", "report.images.npy"):
        assert text in message


def test_a_head_of_other_classes_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = build_world(tmp_path / "world")
    (arrays_of(files.tasks[1]) / "classes.json").write_text(
        json.dumps(["a", "b", "c", "d", "e", "f"])
    )
    message = failure(capsys, "sweep", str(written(files, tmp_path, **HERE)))
    assert "task beta" in message
    assert "weight: got shape (4, 8), expected (6, 8)" in message


def test_a_checkpoint_of_another_architecture_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    files = build_world(tmp_path / "world")
    save_state(files.tasks[0].checkpoint, {"conv1.weight": torch.zeros(4, 3, 2, 2)})
    message = failure(capsys, "sweep", str(written(files, tmp_path, **HERE)))
    assert "alpha: class_embedding: missing" in message
    assert "alpha: conv1.weight: got shape (4, 3, 2, 2), expected (16, 3, 8, 8)" in message


@pytest.mark.parametrize("storage", ["/proc/distmerge", "/dev/null/x"])
def test_a_storage_that_cannot_be_written_is_named_before_any_work(
    storage: str, world: ModelFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = failure(capsys, "sweep", str(written(world, tmp_path, **HERE)), f"storage={storage}")
    assert f"storage {storage}: cannot be written" in message


def test_a_path_with_square_brackets_is_a_path(
    world: ModelFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(written(world, tmp_path, pipelines=[{"stages": ["weight_averaging"]}], **HERE))
    storage = str(tmp_path / "[bold]x[/b]")
    assert main(["sweep", path, f"storage='{storage}'"]) == 0
    assert storage in capsys.readouterr().out


def test_an_override_of_no_entry_is_an_error(
    world: ModelFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(written(world, tmp_path))
    assert "is no entry" in failure(capsys, "sweep", path, "pipelines.\u00b2.trials=1")


def test_a_leaderboard_of_an_unknown_study_lists_the_known_ones(
    world: ModelFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipelines = [{"stages": ["weight_averaging"]}]
    main(["sweep", str(written(world, tmp_path, pipelines=pipelines, **HERE))])
    capsys.readouterr()
    message = failure(capsys, "leaderboard", str(tmp_path / "results"), "--study", "nope")
    assert "no study 'nope'; there are: tiny" in message


def test_overrides_change_a_study(
    world: ModelFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(written(world, tmp_path))
    overrides = ["ray=false", "seed=3", "pipelines.1.trials=1"]
    assert main(["sweep", path, *overrides, "--plan"]) == 0
    output = capsys.readouterr().out
    assert "seed 3" in output
    assert "ray: false" in output
    assert "runs still to do: 5" in output


def test_the_study_of_the_tests_is_yaml(world: ModelFiles, tmp_path: Path) -> None:
    path = written(world, tmp_path)
    assert yaml.safe_load(path.read_text()) == content_of(world, tmp_path / "results")
