"""A driver that is stopped or killed, as a process of its own; the next one goes on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from distmerge.cli import main
from distmerge.spec import ModelFiles
from distmerge.sweep import Terminated
from distmerge.sweep.signals import asked_to_stop, terminable
from tests.sweep.studies import rows_of, study_of, written

SWEEP = Path(__file__).parents[2] / "jobs" / "sweep.py"
LONG = {"adamerging.steps": 300, "adamerging.batch_size": 4, "adamerging.keep": "best"}
ONE = {"pipelines": [{"stages": ["adamerging"], "settings": LONG}], "ray": False}
PATIENCE_S = 120.0


def test_sigterm_stops_what_it_interrupts_as_ctrl_c_does() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), terminable():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_a_loop_is_asked_to_stop_once_and_then_made_to(
    number: signal.Signals, kind: type[KeyboardInterrupt]
) -> None:
    with asked_to_stop() as stop:
        assert stop.asked is None
        os.kill(os.getpid(), number)
        assert stop.asked == kind
        with pytest.raises(kind):
            os.kill(os.getpid(), number)


@pytest.fixture(scope="module")
def undisturbed(world: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert main(["sweep", str(written(world, folder, **ONE))]) == 0
    return rows_of(study_of(world, folder / "results"))


@pytest.fixture
def driver(world: ModelFiles, tmp_path: Path, cache: Path) -> Iterator[subprocess.Popen[str]]:
    """A driver in the middle of its run, of which a state is saved after every step."""
    path = written(world, tmp_path, checkpoint_s=0, **ONE)
    process = subprocess.Popen(
        [sys.executable, str(SWEEP), str(path)],
        env={**os.environ, "DISTMERGE_CACHE": str(cache), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    end = time.monotonic() + PATIENCE_S
    while not states(tmp_path):
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.01)
    yield process
    process.kill()
    process.wait(PATIENCE_S)
    assert process.stdout
    process.stdout.close()


def states(folder: Path) -> list[Path]:
    return list(folder.glob("results/_runs/tiny/*.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 143), (signal.SIGINT, 130)],
)
def test_a_driver_that_is_stopped_goes_on_and_ends_with_the_same_rows(
    number: signal.Signals,
    code: int,
    driver: subprocess.Popen[str],
    world: ModelFiles,
    tmp_path: Path,
    undisturbed: pd.DataFrame,
) -> None:
    driver.send_signal(number)
    output, _ = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == code
    assert ("run the same command again to go on" in output) == (code > 0)
    assert "Traceback" not in output
    assert len(states(tmp_path)) == 1
    study = study_of(world, tmp_path / "results")
    assert "adamerging" not in set(rows_of(study)["method"])
    assert main(["sweep", str(tmp_path / "study.yaml")]) == 0
    pd.testing.assert_frame_equal(rows_of(study), undisturbed, check_exact=True)
    assert not states(tmp_path)


@pytest.mark.slow
def test_a_second_driver_is_refused_by_who_runs_the_study(
    driver: subprocess.Popen[str],
    world: ModelFiles,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["sweep", str(tmp_path / "study.yaml")]) == 2
    message = capsys.readouterr().err
    assert f"is being run by process {driver.pid} on " in message
    driver.send_signal(signal.SIGTERM)
    driver.communicate(timeout=PATIENCE_S)
    assert not list(tmp_path.glob("results/_studies/*.lease"))
