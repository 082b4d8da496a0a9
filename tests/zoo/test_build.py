import json
import os
from pathlib import Path

import numpy as np
import pytest

from distmerge.errors import ZooError
from distmerge.models import Tower, file_digest, load_head, load_metadata, load_state
from distmerge.spec import ImageCounts, load_tower_config
from distmerge.tasks import Decoding, load_tasks
from distmerge.taskvectors import task_vectors
from distmerge.zoo.build import feature_center
from distmerge.zoo.folder import ZooFolder
from tests.zoo.toys import RECIPE, built, with_base


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> ZooFolder:
    folder = with_base(tmp_path_factory.mktemp("zoo") / "toy")
    built(folder)
    return folder


def test_checkpoints_fit_the_tower(zoo: ZooFolder) -> None:
    files = zoo.files(RECIPE)
    tower = Tower(load_tower_config(files.tower))
    tuned = {task.name: load_state(task.checkpoint) for task in files.tasks}
    bank = task_vectors(load_state(files.base), tuned, tower.shapes)
    assert bank.vectors.abs().amax(dim=1).min() > 0


def test_the_data_are_tasks_with_disjoint_roles(zoo: ZooFolder) -> None:
    decoding = Decoding(RECIPE.tower.preprocess, Path(os.devnull) / "unused")
    files = zoo.files(RECIPE).tasks
    tasks = load_tasks(files, ImageCounts(), transductive=False, decoding=decoding)
    assert [(task.name, task.classes) for task in tasks] == [
        ("upright", ("I", "O")),
        ("round", ("L", "S")),
    ]


def test_heads_share_the_mean_feature_of_the_tasks_as_center(zoo: ZooFolder) -> None:
    heads = [
        load_head(task.head_file, num_classes=2, feature_dim=8) for task in zoo.files(RECIPE).tasks
    ]
    center = feature_center(RECIPE, zoo)
    means = [np.load(zoo.task(name).features).mean(axis=0) for name in ("upright", "round")]
    assert all(np.array_equal(head.center, center) for head in heads)
    np.testing.assert_allclose(center, np.mean(means, axis=0), rtol=1e-6)


def test_the_marker_tells_what_fine_tuning_gained(zoo: ZooFolder) -> None:
    content = json.loads(zoo.finished.read_text())
    assert content["digest"] == RECIPE.digest
    gains = [a["individual"] - a["pretrained"] for a in content["select_accuracy"].values()]
    assert min(gains) > 0


def test_a_checkpoint_names_its_task_and_recipe(zoo: ZooFolder) -> None:
    provenance = json.loads(load_metadata(zoo.task("round").checkpoint)["provenance"])
    assert (provenance["task"], provenance["recipe"]) == ("round", RECIPE.digest)


def test_a_resumed_build_makes_only_what_is_missing(tmp_path: Path) -> None:
    zoo = with_base(tmp_path / "toy")
    first = built(zoo)
    digest = file_digest(zoo.task("round").checkpoint)
    zoo.finished.unlink()
    zoo.task("round").accuracy.unlink()
    zoo.task("round").checkpoint.unlink()
    second = built(zoo)
    assert [line.split(",")[0] for line in first] == [
        "upright: images made 1/2",
        "round: images made 2/2",
        "upright: fine-tuned 1/2",
        "round: fine-tuned 2/2",
    ]
    assert [line.split(",")[0] for line in second] == ["round: fine-tuned 1/1"]
    assert file_digest(zoo.task("round").checkpoint) == digest


def test_a_task_that_does_not_learn_is_named_and_the_zoo_stays_unfinished(tmp_path: Path) -> None:
    still = RECIPE.fine_tuning.model_copy(update={"lr": 1e-30, "epochs": 1})
    recipe = RECIPE.model_copy(update={"fine_tuning": still})
    zoo = with_base(tmp_path / "toy", recipe)
    with pytest.raises(ZooError, match=r"did not help on the select images:\n  - upright: .*%"):
        built(zoo, recipe)
    assert not zoo.finished.exists()
