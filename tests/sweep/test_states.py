from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.sweep.progress.steps import Standing, Told
from distmerge.sweep.states import States, untold
from distmerge.sweep.trial import Recorder


def test_a_recorder_is_where_states_lie(tmp_path: object) -> None:
    assert isinstance(Recorder(RunStore(str(tmp_path), HYPERS), "tiny"), States)


def test_a_run_that_tells_nobody_goes_on() -> None:
    assert not untold(Told("r", "m", Standing("p", 1, 2), ()))
