import subprocess
import sys

import pytest

from tests.cli.messages import failure


@pytest.mark.parametrize("command", [["--help"], ["methods"], ["sweep", "absent.yaml"]])
def test_help_and_config_errors_load_neither_torch_nor_ray(command: list[str]) -> None:
    code = (
        "import sys; from distmerge.cli import main; main(sys.argv[1:]); "
        "sys.exit(bool({'torch', 'ray', 'open_clip'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], check=False, timeout=60)
    assert done.returncode == 0


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert "No such command" in failure(capsys, "sweeep")
