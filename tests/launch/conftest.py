from collections.abc import Callable
from pathlib import Path

import pytest

from distmerge.launch import Report, check
from tests.launch.files import ROOT, changed

Checked = Callable[..., Report]


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checked:
    """Check a shipped file with edits, as a user with a token and a key does."""
    home = tmp_path / "home"
    (home / ".ray" / "cluster_token").mkdir(parents=True)
    (home / "models").mkdir()
    (home / "key").touch()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(ROOT)

    def check_edited(name: str, *edits: tuple[str, str]) -> Report:
        path = tmp_path / f"{name}.yaml"
        path.write_text(changed(name, *edits))
        return check(path)

    return check_edited
