import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from distmerge.spec import Choice, Distribution, IntUniform, LogUniform, Uniform, described
from distmerge.spec.hyper import parse_setting
from tests.spec.hypers import Fixer, Learner


def test_search_space_holds_exactly_the_fields_that_declare_a_range() -> None:
    assert Learner.search_space() == {
        "lr": LogUniform(1e-4, 1e-1),
        "steps": IntUniform(10, 20),
        "mode": Choice(("fast", "slow")),
    }
    assert Fixer.search_space() == {}


def test_a_docstring_under_a_field_is_its_description() -> None:
    assert Learner.model_fields["lr"].description == "Step size."


def test_hyperparameters_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Learner().lr = 0.5  # type: ignore[misc]  # that is the point


def test_an_infinite_hyperparameter_is_refused() -> None:
    with pytest.raises(ValidationError, match="finite number"):
        Learner(lr=float("nan"))


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"uniform": [0, 1]}, Uniform(0.0, 1.0)),
        ({"log_uniform": [0.1, 1]}, LogUniform(0.1, 1.0)),
        ({"int_uniform": [1, 5]}, IntUniform(1, 5)),
        ({"choice": ["a", 2, True]}, Choice(("a", 2, True))),
        ({"uniform": [0.1, 0.5], "points": 5}, Choice((0.1, 0.2, 0.3, 0.4, 0.5))),
        ({"log_uniform": [1e-3, 1e-1], "points": 3}, Choice((0.001, 0.01, 0.1))),
        ({"int_uniform": [1, 9], "points": 3}, Choice((1, 5, 9))),
    ],
)
def test_a_range_is_read_from_its_yaml_form(setting: object, expected: object) -> None:
    assert parse_setting(setting) == expected


@given(st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text())
def test_a_plain_value_means_itself(value: object) -> None:
    assert parse_setting(value) is value


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_range_is_refused_exactly_when_it_is_empty(low: float, high: float) -> None:
    if low < high:
        assert parse_setting({"uniform": [low, high]}) == Uniform(low, high)
    else:
        with pytest.raises(ValueError, match="expected low < high"):
            parse_setting({"uniform": [low, high]})


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (None, "got None; expected a value or"),
        ([1, 2], r"got \[1, 2\]; expected a value or"),
        ({"uniform": [0, 1], "choice": [1]}, "expected a value or"),
        ({"gauss": [0, 1]}, "unknown distribution 'gauss'; known: uniform, log_uniform"),
        ({"uniform": 3}, "uniform: got 3; expected a list"),
        ({"choice": []}, r"choice: got \[\]; expected a list"),
        ({"uniform": [1]}, r"uniform: got \[1\]; expected \[low, high\]"),
        ({"uniform": ["a", "b"]}, r"expected \[low, high\]"),
        ({"uniform": [False, True]}, r"expected \[low, high\]"),
        ({"int_uniform": [1, 2.5]}, r"int_uniform: got \[1, 2.5\]; expected \[low, high\]"),
        ({"uniform": [3, 1]}, r"uniform: got \[3, 1\]; expected low < high"),
        ({"log_uniform": [0, 1]}, "low > 0 for logs"),
        ({"uniform": [0, 1], "points": 1}, "points: got 1; expected a whole number of 2 or more"),
        ({"uniform": [0, 1], "points": 2.5}, "points: got 2.5; expected a whole number"),
        ({"int_uniform": [1, 3], "points": 4}, "points: got 4; there are 3 whole numbers"),
        ({"choice": [1, 2], "points": 2}, "choice: its values are its points"),
        ({"points": 2}, "expected a value or"),
    ],
)
def test_a_malformed_range_says_what_was_expected(setting: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_setting(setting)


@pytest.mark.parametrize(
    ("range_", "words"),
    [
        (Uniform(0.1, 0.5), "0.1 to 0.5"),
        (IntUniform(1, 8), "1 to 8"),
        (LogUniform(1e-4, 1e-2), "0.0001 to 0.01, logarithmic"),
        (Choice((4, "a")), "one of 4, a"),
    ],
)
def test_a_range_has_words(range_: Distribution, words: str) -> None:
    assert described(range_) == words
