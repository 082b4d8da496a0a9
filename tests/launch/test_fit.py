import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distmerge.launch.fit import fit, num_models
from distmerge.launch.kinds import Layout, NodeKind
from distmerge.methods import HYPERS
from distmerge.spec import Study, load_study

HEAD = NodeKind("head", "", {"CPU": 0.0}, 1, 1, head=True)
ONE = NodeKind("one", "", {"CPU": 8.0, "GPU": 1.0}, 1, 4)
EIGHT = NodeKind("eight", "", {"CPU": 64.0, "GPU": 8.0}, 0, 2)
LAYOUT = Layout("aws", [HEAD, ONE, EIGHT], 4)
FILES = """
study: mine
models:
  tower: tower.json
  base: base.safetensors
  tasks:
    - {name: a, checkpoint: a, head: a, data: {path: a}}
    - {name: b, checkpoint: b, head: b, data: {path: b}}
    - {name: c, checkpoint: c, head: c, data: {path: c}}
unseen: [c]
pipelines: [{stages: [task_arithmetic]}]
"""


@pytest.fixture
def study(tmp_path: Path) -> Study:
    path = tmp_path / "mine.yaml"
    path.write_text(FILES)
    return load_study(path, [], HYPERS)


def asking(study: Study, **ray: Any) -> Study:
    return study.model_copy(update={"ray": study.ray.model_copy(update=ray)})  # type: ignore[union-attr]


def test_all_models_and_the_pretrained_one_are_counted(study: Study) -> None:
    assert num_models(study) == 4


def test_a_study_that_fits_has_no_problem(study: Study) -> None:
    found = fit(asking(study, actor_gpus=1.0, trial_gpus=0.5), LAYOUT)
    assert found.problems == []
    assert found.notes[0] == "study mine: 4 models, 4 actors at the largest size"


@pytest.mark.parametrize(
    ("ray", "message"),
    [
        ({"actor_gpus": 16.0}, r"1 actors of 1 CPU, 16 GPU on one node each; 0 fit"),
        (
            {"trial_cpus": 65.0},
            r"a trial asks for 65 CPU, 1 GPU on one node; the cluster has 144 CPU",
        ),
        ({"actors": 19, "actor_gpus": 1.0}, r"largest size .*19 actors .* 18 fit"),
        (
            {"actors": 18, "actor_gpus": 1.0, "trial_gpus": 1.0, "gradient": "actors"},
            r"18 actors of 1 CPU, 1 GPU on one node each; 17 fit beside a trial",
        ),
    ],
)
def test_a_study_that_cannot_fit_is_found(study: Study, ray: dict[str, Any], message: str) -> None:
    problems = fit(asking(study, **ray), LAYOUT).problems
    assert any(re.search(message, problem, re.DOTALL) for problem in problems), problems


def test_the_largest_size_keeps_to_the_limit_of_all_workers(study: Study) -> None:
    few = replace(LAYOUT, max_workers=1)
    assert fit(asking(study, actors=9, actor_gpus=1.0), few).problems
    assert not fit(asking(study, actors=8, actor_gpus=1.0), few).problems


def test_a_cluster_that_starts_too_small_is_said(study: Study) -> None:
    layout = replace(LAYOUT, kinds=[HEAD, replace(ONE, smallest=0), EIGHT])
    assert "raise min_workers" in fit(study, layout).notes[-1]


def test_a_study_that_waits_for_nodes_may_start_with_none(study: Study) -> None:
    layout = replace(LAYOUT, kinds=[HEAD, replace(ONE, smallest=0), EIGHT])
    waiting = asking(study, autoscaled=True, actor_gpus=1.0, trial_gpus=1.0)
    assert fit(waiting, layout) == ([], ["study mine: 4 models, 4 actors at the largest size"])
    assert fit(asking(waiting, actor_gpus=16.0), layout).problems


def test_a_study_without_ray_needs_no_cluster(study: Study) -> None:
    alone = study.model_copy(update={"ray": False})
    assert fit(alone, LAYOUT).problems == ["study mine: ray: false keeps everything in the driver"]


def test_nothing_is_said_of_hosts_that_say_nothing(study: Study) -> None:
    layout = Layout("local", [NodeKind("hosts", "", {}, 2, 2)], 2)
    assert fit(asking(study, actor_gpus=9.0), layout).problems == []
