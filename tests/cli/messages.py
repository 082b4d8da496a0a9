"""What a failing command prints."""

import pytest

from distmerge.cli import main


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Give the message of a command that must end with code 2 and no traceback."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert captured.err
    return captured.err
