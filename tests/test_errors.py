import pytest

from distmerge import errors
from distmerge.errors import DistmergeError, problem_list


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.ConfigError, ValueError),
        (errors.CheckpointError, ValueError),
        (errors.DataError, ValueError),
        (errors.CapacityError, RuntimeError),
        (errors.WorkerTimeoutError, TimeoutError),
        (errors.RunTimeoutError, TimeoutError),
        (errors.PrunedError, RuntimeError),
        (errors.DivergenceError, ArithmeticError),
        (errors.ZooError, RuntimeError),
        (errors.ResultsError, RuntimeError),
    ],
)
def test_an_error_can_be_caught_as_ours_or_as_a_builtin(
    error: type[Exception], builtin: type[Exception]
) -> None:
    assert issubclass(error, DistmergeError)
    assert issubclass(error, builtin)


def test_a_problem_list_has_one_line_for_each_problem() -> None:
    assert problem_list("study.yaml", ["a: wrong", "b: missing"]) == (
        "study.yaml:\n  - a: wrong\n  - b: missing"
    )
