"""Random kills for three minutes, or as many as ``SOAK_MINUTES`` says."""

import os
import time

import pytest

from tests.faults.conftest import NewSweep
from tests.faults.drivers import Sweep
from tests.faults.rows import assert_same, best, final_rows, unexpected
from tests.faults.soak import GRID, soak

pytestmark = [pytest.mark.slow, pytest.mark.ray]
MINUTES = float(os.environ.get("SOAK_MINUTES", "3"))
SEED = int(os.environ.get("SOAK_SEED", "0"))


def test_a_sweep_under_random_kills_loses_no_row_and_doubles_none(
    new_sweep: NewSweep, request: pytest.FixtureRequest
) -> None:
    calm = new_sweep(**GRID)
    calm.start()
    assert calm.exit_code() == 0, calm.said()
    expected = final_rows(calm.study.storage)

    def finish(sweep: Sweep) -> None:
        assert_same(sweep.study.storage, expected)
        assert best(final_rows(sweep.study.storage)) == best(expected)
        assert unexpected(sweep.study.storage) == []

    start = time.monotonic()
    tally = soak(lambda: new_sweep(**GRID), finish, 60 * MINUTES, SEED)
    report = request.config.get_terminal_writer()
    report.line(f"\nsoak, seed {SEED}: {tally}; {time.monotonic() - start:.0f} s")
    assert tally.kills.total() >= MINUTES
