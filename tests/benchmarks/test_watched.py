import subprocess
import sys

import pytest

from benchmarks.watched import watched

_CHILD = "import time; held = bytearray(80_000_000); time.sleep(1.5); print('done')"
_PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_CHILD!r}], check=True)"


def test_the_memory_of_a_child_counts() -> None:
    seen = watched([[sys.executable, "-c", _PARENT]], 1, {})
    assert seen.said == ("done\n",)
    assert seen.peak_bytes > 80_000_000
    assert seen.cpu_s > 0


def test_a_command_that_fails_is_said() -> None:
    with pytest.raises(subprocess.CalledProcessError, match="exit status 3"):
        watched([[sys.executable, "-c", "raise SystemExit(3)"]], 1, {})
