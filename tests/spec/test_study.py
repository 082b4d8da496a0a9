from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from distmerge.spec import ImageCounts, ModelFiles, Pipeline, RayConfig, Study, TaskFiles, Uniform


def task(name: str) -> TaskFiles:
    return TaskFiles(
        name=name, checkpoint=Path("c.safetensors"), head=Path("h.safetensors"), data=Path("d")
    )


def test_two_tasks_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="task names appear twice: a"):
        ModelFiles(tower=Path("t.json"), base=Path("b"), tasks=(task("a"), task("b"), task("a")))


def test_one_task_alone_is_nothing_to_merge() -> None:
    with pytest.raises(ValidationError, match="at least 2 items"):
        ModelFiles(tower=Path("t.json"), base=Path("b"), tasks=(task("a"),))


@pytest.mark.parametrize("name", ["", "a b", "a/b", ".hidden", "a=b", "é"])
def test_a_name_that_could_not_be_a_folder_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="match pattern"):
        task(name)


@pytest.mark.parametrize("name", ["mnist", "EuroSAT", "resisc-45", "v1.0_b", "0"])
def test_an_ordinary_name_is_accepted(name: str) -> None:
    assert task(name).name == name


def test_a_pipeline_tells_fixed_settings_from_searched_ones() -> None:
    pipeline = Pipeline(stages=("a", "b"), settings={"a.x": 1, "b.y": {"uniform": [0, 1]}})
    assert pipeline.name == "a+b"
    assert pipeline.fixed() == {"a.x": 1}
    assert pipeline.searched() == {"b.y": Uniform(0.0, 1.0)}


def test_a_study_cannot_be_changed_after_it_was_checked() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        ImageCounts().adapt = 3  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize("field", ["actor_gpus", "trial_gpus"])
def test_a_share_of_a_gpu_is_allowed(field: str) -> None:
    assert getattr(RayConfig.model_validate({field: 0.25}), field) == 0.25


def test_adapt_images_cannot_be_counted_where_the_report_images_are_adapted_on() -> None:
    content = {
        "study": "s",
        "models": {"zoo": "tiny"},
        "pipelines": [{"stages": ["m"]}],
        "protocol": "transductive",
        "images": {"adapt": 3},
    }
    with pytest.raises(ValidationError, match="no meaning with protocol: transductive"):
        Study.model_validate(content)


def repeated(**fields: object) -> Study:
    content = {"study": "s", "models": {"zoo": "tiny"}, "pipelines": [{"stages": ["m"]}]}
    return Study.model_validate({**content, **fields})


def test_the_seeds_of_a_study_count_up_from_its_seed() -> None:
    assert list(repeated().seeds) == [0]
    assert list(repeated(seed=4, repeats=3).seeds) == [4, 5, 6]


@pytest.mark.parametrize(
    ("repeats", "problem"),
    [(0, "greater than 0"), (-1, "greater than 0"), (1.5, "valid integer"), ("x", "valid integer")],
)
def test_repeats_are_counted_from_one(repeats: object, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        repeated(repeats=repeats)


def test_seeds_beyond_their_column_are_refused() -> None:
    assert repeated(seed=2**63 - 2, repeats=2).seeds[-1] == 2**63 - 1
    with pytest.raises(ValidationError, match=r"seed \+ repeats - 1: got 9223372036854775808"):
        repeated(seed=2**63 - 2, repeats=3)


@pytest.mark.parametrize(
    ("ray", "unsaid"),
    [
        ({}, "no actor_gpus, trial_gpus;"),
        ({"actor_gpus": 1.0, "trial_gpus": 0.0, "gradient": "actors"}, "no actors;"),
    ],
)
def test_what_nodes_to_come_offer_is_said(ray: dict[str, Any], unsaid: str) -> None:
    with pytest.raises(ValidationError, match=f"autoscaled: true, and {unsaid}"):
        RayConfig(autoscaled=True, **ray)
    assert RayConfig(autoscaled=True, actor_gpus=1.0, trial_gpus=1.0).autoscaled
