"""What every fault needs: a sweep to disturb, the rows of an undisturbed one, a line to report."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

from distmerge.spec import ModelFiles
from tests.faults.drivers import Sweep
from tests.faults.rows import final_rows
from tests.world import TOWER, build_world

NewSweep = Callable[..., Sweep]
Note = Callable[[str, str, float, str], None]
_TITLES = ("fault", "what was done", "recovery s", "rows equal")
_NOTES = pytest.StashKey[list[tuple[str, ...]]]()


class Undisturbed(NamedTuple):
    """What a sweep leaves that nothing happens to."""

    rows: pd.DataFrame
    cache: Path
    """Knows the features of the individual models."""


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """Wider models than in most tests: a run takes seconds, and memory worth to be short of."""
    config = TOWER.model_copy(update={"patch_size": 4, "width": 128, "heads": 4})
    return build_world(tmp_path_factory.mktemp("models"), config=config, lr=0.001)


@pytest.fixture(scope="session")
def undisturbed(models: ModelFiles) -> Iterator[Undisturbed]:
    """The study of every fault, run once without any."""
    with short_folder() as folder:
        cache = folder / "cache"
        sweep = Sweep(folder, models, {"DISTMERGE_CACHE": str(cache)})
        try:
            sweep.start()
            assert sweep.exit_code() == 0, sweep.said()
        finally:
            sweep.end()
        yield Undisturbed(final_rows(sweep.study.storage), cache)


@pytest.fixture
def new_sweep(models: ModelFiles, undisturbed: Undisturbed) -> Iterator[NewSweep]:
    """Gives sweeps of that study; ``cold`` ones have all features to compute first."""
    with ExitStack() as stack:

        def make(*, cold: bool = False, **changes: Any) -> Sweep:
            folder = stack.enter_context(short_folder())
            cache = folder / "cache" if cold else undisturbed.cache
            sweep = Sweep(folder, models, {"DISTMERGE_CACHE": str(cache)}, **changes)
            stack.callback(sweep.end)
            return sweep

        yield make


@contextmanager
def short_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="dm-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Takes the line of a fault, for the table at the end."""
    notes = request.config.stash.setdefault(_NOTES, [])

    def take(fault: str, done: str, recovery_s: float, equal: str) -> None:
        notes.append((fault, done, f"{recovery_s:.1f}", equal))

    return take


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print one line per fault."""
    if notes := config.stash.get(_NOTES, []):
        terminalreporter.section(f"faults, on {os.cpu_count()} cores")
        for line in (_TITLES, *notes):
            terminalreporter.write_line(" | ".join(line))
