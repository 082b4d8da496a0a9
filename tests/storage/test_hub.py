"""hf:// through the real client of the hub, against a small hub on loopback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import CLIPVisionModelWithProjection

from distmerge.models import import_checkpoint, load_state
from tests.models.test_foreign_hugging_face import saved
from tests.storage.hub import REPOSITORY, TOKEN, hub


def imported(source: str, out: Path, endpoint: str, token: str) -> subprocess.CompletedProcess[str]:
    """Call the command in a process of its own: the client reads its endpoint at import."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(out.parent / "hf"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_TOKEN": token,
        "COLUMNS": "400",
    }
    command = [sys.executable, "-m", "distmerge.cli", "import", source, str(out)]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder as transformers writes it."""
    folder = tmp_path_factory.mktemp("hub") / "vision"
    saved(folder, CLIPVisionModelWithProjection)
    (folder / "training_args.bin").write_bytes(b"not fetched")
    return folder


def test_a_model_of_the_hub_is_imported_as_the_local_folder(model: Path, tmp_path: Path) -> None:
    with hub(model) as endpoint:
        done = imported(f"hf://{REPOSITORY}@main", tmp_path / "out", endpoint, TOKEN)
    assert done.returncode == 0, done.stderr
    (found,) = (tmp_path / "out").glob("*.safetensors")
    local = import_checkpoint(str(model), tmp_path / "local")
    expected = load_state(local.files[0])
    torch.testing.assert_close(load_state(found), expected, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "token", "message"),
    [
        (f"hf://{REPOSITORY}", "hf_wrong", "no such file or folder"),  # private repositories hide
        (f"hf://{REPOSITORY}/absent.pt", TOKEN, "no such file or folder, or key"),
        ("hf://owner/other", TOKEN, "no such file or folder, or key"),
    ],
)
def test_what_the_hub_does_not_give_is_named(
    model: Path, tmp_path: Path, source: str, token: str, message: str
) -> None:
    with hub(model) as endpoint:
        done = imported(source, tmp_path / "out", endpoint, token)
    assert done.returncode != 0
    assert f"{source}: cannot be read: {message}" in done.stderr
    assert token not in done.stderr
    assert not (tmp_path / "out").exists()
