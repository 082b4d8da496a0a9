import pytest
from hypothesis import given
from hypothesis import strategies as st

from distmerge.errors import ConfigError
from distmerge.spec import (
    Choice,
    Distribution,
    Hyper,
    IntUniform,
    LogUniform,
    Pipeline,
    RunConfig,
    Stage,
    Uniform,
    Value,
    all_points,
    digest,
    num_points,
    num_trials,
    run_config,
    search_space,
)
from tests.spec.hypers import HYPERS, Fixer, Learner

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def pipeline(*stages: str, **settings: object) -> Pipeline:
    named = {key.replace("__", "."): value for key, value in settings.items()}
    return Pipeline(stages=stages, settings=named)


def test_a_run_takes_drawn_values_then_fixed_settings_then_defaults() -> None:
    config = run_config(
        pipeline("learner", "fixer", learner__steps=3, learner__lr=0.5),
        {"learner.lr": 0.25},
        seed=4,
        hypers=HYPERS,
    )
    assert config == RunConfig(
        (Stage("learner", Learner(steps=3, lr=0.25)), Stage("fixer", Fixer())), 4
    )


def test_a_run_is_named_by_its_stages_and_gives_every_hyperparameter() -> None:
    config = run_config(pipeline("learner", "fixer"), {}, seed=0, hypers=HYPERS)
    assert config.name == "learner+fixer"
    assert config.values() == {
        "learner.lr": 1e-3,
        "learner.steps": 10,
        "learner.mode": "fast",
        "learner.clamp": True,
        "fixer.rank": 4,
    }


def test_all_values_out_of_bounds_are_listed_at_once() -> None:
    values: dict[str, Value] = {"learner.lr": -1.0, "learner.mode": "odd", "fixer.rank": 0}
    with pytest.raises(ConfigError, match=r"pipeline learner\+fixer:") as caught:
        run_config(pipeline("learner", "fixer"), values, seed=0, hypers=HYPERS)
    lines = str(caught.value).splitlines()[1:]
    assert [line.split(":")[0] for line in lines] == [
        "  - learner.lr",
        "  - learner.mode",
        "  - fixer.rank",
    ]


def test_the_search_space_is_what_the_methods_declare() -> None:
    assert search_space(pipeline("learner", "fixer"), HYPERS) == {
        "learner.lr": LogUniform(1e-4, 1e-1),
        "learner.steps": IntUniform(10, 20),
        "learner.mode": Choice(("fast", "slow")),
    }


def test_a_study_can_fix_replace_and_add_ranges() -> None:
    chosen = pipeline(
        "learner",
        "fixer",
        learner__lr=0.1,
        learner__steps={"int_uniform": [1, 3]},
        fixer__rank={"choice": [2, 4]},
    )
    assert search_space(chosen, HYPERS) == {
        "learner.steps": IntUniform(1, 3),
        "learner.mode": Choice(("fast", "slow")),
        "fixer.rank": Choice((2, 4)),
    }
    assert chosen.fixed() == {"learner.lr": 0.1}
    assert set(chosen.searched()) == {"learner.steps", "fixer.rank"}


def test_the_points_of_a_finite_space_come_in_order() -> None:
    space: dict[str, Distribution] = {"a.x": Choice((2, 1)), "a.n": IntUniform(3, 4)}
    points = [tuple(point.values()) for point in all_points(space)]
    assert points == [(2, 3), (2, 4), (1, 3), (1, 4)]
    assert num_points(space) == len(points)


def test_a_search_spends_no_more_runs_than_its_space_has_points_and_a_grid_all() -> None:
    chosen = pipeline("learner", learner__lr={"choice": [0.1, 0.2]}, learner__steps=3)
    few, many = (chosen.model_copy(update={"trials": n}) for n in (3, 9))
    assert [num_trials(each, HYPERS, "tpe") for each in (few, many)] == [3, 4]
    assert num_trials(few, HYPERS, "grid") == 4
    assert num_points({"a.x": Uniform(0.0, 1.0)}) == float("inf")


@given(st.floats(1e-4, 1e-1), st.integers(10, 20), st.sampled_from(["fast", "slow"]))
def test_every_point_of_the_declared_ranges_is_a_valid_run(
    lr: float, steps: int, mode: str
) -> None:
    values: dict[str, Value] = {"learner.lr": lr, "learner.steps": steps, "learner.mode": mode}
    config = run_config(pipeline("learner"), values, seed=0, hypers=HYPERS)
    assert config.values() == values | {"learner.clamp": True}


@pytest.mark.parametrize(
    ("hyper", "field", "distribution"),
    [
        (hyper, field, distribution)
        for hyper in HYPERS.values()
        for field, distribution in hyper.search_space().items()
    ],
)
def test_the_default_lies_in_its_own_range(
    hyper: type[Hyper], field: str, distribution: Uniform | LogUniform | IntUniform | Choice
) -> None:
    default = getattr(hyper(), field)
    if isinstance(distribution, Choice):
        assert default in distribution.values
    else:
        assert distribution.low <= default <= distribution.high


@given(st.dictionaries(st.text(), JSON, min_size=2, max_size=5))
def test_a_digest_does_not_depend_on_the_order_of_keys(content: dict[str, object]) -> None:
    assert digest(content) == digest(dict(reversed(content.items())))


@given(st.integers(), st.integers())
def test_different_contents_have_different_digests(one: int, other: int) -> None:
    assert (digest({"seed": one}) == digest({"seed": other})) == (one == other)


def test_a_digest_stays_the_same_between_versions() -> None:
    assert digest([0, "alpha", 3]) == "9e7fb79d1cb9e77a"


def test_a_number_that_is_not_finite_has_no_digest() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest(float("nan"))
