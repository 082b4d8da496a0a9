import pytest
from pydantic import ValidationError

from distmerge.spec import AnyOf, Halving, Pipeline, Study

GROUP = {"any_of": [["learner"], ["learner", "fixer"]], "settings": {"fixer.rank": 2}}


def study(**fields: object) -> Study:
    content = {"study": "s", "models": {"zoo": "tiny"}, "pipelines": [{"stages": ["a"]}]}
    return Study.model_validate({**content, **fields})


def test_a_group_is_the_pipelines_that_share_its_search() -> None:
    group = AnyOf.model_validate({**GROUP, "trials": 5})
    assert group.name == "learner|learner+fixer"
    assert group.alternatives == (
        Pipeline(stages=("learner",), trials=5),
        Pipeline(stages=("learner", "fixer"), trials=5, settings={"fixer.rank": 2}),
    )


def test_a_study_knows_every_pipeline_of_its_groups() -> None:
    names = [p.name for p in study(pipelines=[{"stages": ["a"]}, GROUP]).alternatives]
    assert names == ["a", "learner", "learner+fixer"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pipelines": [{"any_of": [["a"]]}]}, "at least 2 items"),
        ({"pipelines": [{"any_of": [["a"], []]}]}, "at least 1 item"),
        ({"pipelines": [{"stages": ["a"]}, {"any_of": [["a"], ["b"]]}]}, "appear twice: a"),
        ({"sampler": "cmaes"}, "'tpe', 'random', 'grid' or 'nsga2'"),
        ({"objectives": ["cost"]}, r"objectives: got \['cost'\], expected \[score\] or"),
        ({"objectives": ["score", "cost"], "asha": {"first": 5}}, "asha compares runs by one"),
        ({"asha": {}}, "Field required"),
        ({"asha": {"first": 5, "reduction": 1}}, "greater than or equal to 2"),
        ({"warm_start": ["s"]}, "warm_start: 's' is this study"),
    ],
)
def test_a_search_that_does_not_fit_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        study(**fields)


def test_rungs_are_where_the_steps_have_grown_by_the_reduction() -> None:
    halving = Halving(first=5, reduction=3)
    assert [step for step in range(1, 200) if halving.is_rung(step)] == [5, 15, 45, 135]
