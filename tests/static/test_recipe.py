import pytest

from distmerge.errors import ConfigError
from distmerge.methods import METHODS
from distmerge.spec import Selection
from distmerge.static import STATIC_METHODS, static_recipe


def test_the_mean_has_coefficients_of_one_part_each() -> None:
    recipe = static_recipe("weight_averaging")
    assert recipe.coefficient(8) == 1 / 8
    assert recipe.selection is None


def test_settings_are_those_of_the_method() -> None:
    recipe = static_recipe("ties", ["ties.density=1e-1", "ties.scaling=0.5", "ties.aggregate=max"])
    assert recipe.coefficient(8) == 0.5
    assert recipe.selection == Selection(0.1, "max")


def test_what_is_not_set_has_the_methods_default() -> None:
    recipe = static_recipe("task_arithmetic")
    assert recipe.hyper == METHODS["task_arithmetic"].hyper()


def test_static_methods_are_methods_whose_result_needs_no_seed() -> None:
    assert not any(METHODS[name].random for name in STATIC_METHODS)


def test_all_wrong_settings_are_named_at_once() -> None:
    settings = ["ties.densty=1", "adamerging.lr=1", "density", "ties.density=20", "ties.scaling=a"]
    with pytest.raises(ConfigError, match="settings of ties") as caught:
        static_recipe("ties", settings)
    message = str(caught.value)
    for part in ("'ties.densty=1': expected", "adamerging.lr", "'density': expected", "got 20"):
        assert part in message
    assert "got 'a'" in message


def test_a_value_that_is_not_yaml_is_an_error() -> None:
    with pytest.raises(ConfigError, match="not YAML"):
        static_recipe("ties", ["ties.density=["])


@pytest.mark.parametrize(
    ("method", "message"),
    [("adamerging", "adamerging learns from data"), ("tis", "unknown method 'tis'")],
)
def test_a_method_that_needs_data_is_refused(method: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"{message}.*: weight_averaging, task_arithmetic, ties"):
        static_recipe(method)
