import pytest

from distmerge.errors import ResultsError
from distmerge.report.pictures import read_content, read_pictures
from tests.report.results import TASKS, pictures


def test_no_file_holds_nothing() -> None:
    assert read_content(b"", "here") == ({}, {})
    assert read_pictures(b"", "here") is None


def test_pictures_come_back_by_task_and_by_problem() -> None:
    found = read_pictures(pictures(), "here")
    assert found is not None
    assert tuple(found.by_task("points")) == TASKS
    (trace,) = found.traces
    assert (trace.problem, trace.steps.tolist()) == ("coefficients", [0, 10, 20, 30])


def test_another_file_is_refused_by_name() -> None:
    with pytest.raises(ResultsError, match="here: not safetensors"):
        read_pictures(b"torn", "here")
