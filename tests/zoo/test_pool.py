import time
from concurrent.futures.process import BrokenProcessPool

import pytest

from distmerge.zoo.pool import process_pool, stop_processes


def test_processes_can_be_stopped_in_the_middle_of_their_work() -> None:
    with process_pool(1, 1) as pool:
        assert pool.submit(abs, -1).result(timeout=60) == 1
        future = pool.submit(time.sleep, 60)
        deadline = time.monotonic() + 30
        while not future.running() and time.monotonic() < deadline:
            time.sleep(0.01)
        stop_processes()
        with pytest.raises(BrokenProcessPool, match="terminated abruptly"):
            future.result(timeout=30)
