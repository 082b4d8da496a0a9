"""What an import compares, shows and writes; and imports that are killed."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from distmerge.errors import CheckpointError
from distmerge.models import (
    Tower,
    import_checkpoint,
    load_metadata,
    load_state,
    zero_shot_head,
)
from distmerge.spec import Preprocess, TowerConfig, load_tower_config
from tests.models.clips import written_clip
from tests.models.old_files import ClassificationHead, ImageClassifier, ImageEncoder, save_old
from tests.world import TOWER, random_weights

_KILLED = """
import os, signal, sys
from pathlib import Path
from distmerge.models import import_checkpoint

source, folder, last = sys.argv[1:]

def hook(event, arguments):
    if event == "os.rename" and os.path.basename(arguments[1]) == last:
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
import_checkpoint(source, Path(folder))
"""
_ORDER = ["tower.json", "all.head.safetensors", "all.safetensors"]


@pytest.mark.parametrize("killed_before", range(len(_ORDER)))
def test_a_killed_import_has_no_tower_without_its_companions_and_is_completed_by_another(
    killed_before: int, tmp_path: Path
) -> None:
    weights = random_weights(Tower(TOWER), 0)
    head = ClassificationHead(torch.ones(3, 8), normalize=True)
    source = save_old(tmp_path / "all.pt", ImageClassifier(ImageEncoder(TOWER, weights), head))
    folder = tmp_path / "out"
    arguments = [str(source), str(folder), _ORDER[killed_before]]
    done = subprocess.run([sys.executable, "-c", _KILLED, *arguments], check=False)
    assert done.returncode == -signal.SIGKILL
    seen = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert seen == set(_ORDER[:killed_before])
    tower, rows, config = import_checkpoint(str(source), folder).files
    assert torch.equal(load_state(tower)["proj"], weights["proj"])
    assert torch.equal(load_state(rows)["weight"], head.weight)
    assert load_tower_config(config).output_dim == TOWER.output_dim


def pickled_encoder(path: Path, config: TowerConfig = TOWER, *, prepares: bool = False) -> str:
    encoder = ImageEncoder(config, random_weights(Tower(config), 0))
    if not prepares:
        del encoder.val_preprocess
    return str(save_old(path, encoder))


def described(folder: Path, **preprocess: object) -> Path:
    """Write a folder's tower.json with another preprocessing."""
    folder.mkdir()
    own = Preprocess.model_validate({**TOWER.preprocess.model_dump(), **preprocess})
    config = TOWER.model_copy(update={"preprocess": own})
    (folder / "tower.json").write_text(config.model_dump_json())
    return folder


def test_what_a_module_does_not_tell_of_its_input_is_shown_as_assumed(tmp_path: Path) -> None:
    done = import_checkpoint(pickled_encoder(tmp_path / "a.pt"), tmp_path / "out")
    assert "16 pixels, mean 0.481455" in done.summary
    assert "(resize, interpolation, mean, std as CLIP has them" in done.summary
    told = import_checkpoint(pickled_encoder(tmp_path / "b.pt", prepares=True), tmp_path / "told")
    assert "(interpolation as CLIP has them" in told.summary


def test_what_a_module_does_not_tell_of_its_input_is_the_folders(tmp_path: Path) -> None:
    halves = (0.5, 0.5, 0.5)
    folder = described(tmp_path / "out", mean=halves, std=halves, resize="squash")
    done = import_checkpoint(pickled_encoder(tmp_path / "a.pt"), folder)
    found = Preprocess.model_validate_json(load_metadata(done.files[0])["preprocess"])
    assert (found.mean, found.resize) == (halves, "squash")
    assert "as CLIP has" not in done.summary


def test_what_a_module_tells_of_its_input_is_compared_with_the_folders(tmp_path: Path) -> None:
    folder = described(tmp_path / "out", mean=(0.1, 0.2, 0.3), resize="squash")
    with pytest.raises(CheckpointError, match=r"preprocess: .* by the checkpoint"):
        import_checkpoint(pickled_encoder(tmp_path / "a.pt", prepares=True), folder)


@pytest.mark.parametrize("whole", [True, False])
def test_a_pickled_clip_model_gives_its_text_tower_for_zero_shot_heads(
    tmp_path: Path, whole: bool
) -> None:
    clip = written_clip(tmp_path / "clip")
    state = clip.module.state_dict()
    torch.save({"state_dict": {f"module.{n}": t for n, t in state.items()}}, tmp_path / "a.pt")
    if whole:
        torch.save(clip.module, tmp_path / "a.pt")
    done = import_checkpoint(str(tmp_path / "a.pt"), tmp_path / "out")
    text = tmp_path / "out" / "a.text.safetensors"
    assert text in done.files
    asked = {"classes": ("cat", "dog"), "templates": ("a {}.",)}
    found = zero_shot_head(text, clip.model, **asked)
    assert torch.equal(found.weight, zero_shot_head(clip.text, clip.model, **asked).weight)


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=rf"{place}: cannot be written .*expected a folder"):
        import_checkpoint(pickled_encoder(tmp_path / "a.pt"), tmp_path / place)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Give the address at which the files of ``tmp_path`` are served."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join(timeout=10)


def test_a_signature_is_neither_a_name_nor_written_nor_shown(server: str, tmp_path: Path) -> None:
    pickled_encoder(tmp_path / "MNIST.pt")
    signed = "?X-Amz-Signature=hidden/1"
    done = import_checkpoint(f"{server}/MNIST.pt{signed}", tmp_path / "out")
    assert done.files[0].name == "MNIST.safetensors"
    assert "hidden" not in str(load_metadata(done.files[0]))
    with pytest.raises(CheckpointError, match=r"absent\.pt\?\.\.\.: cannot be read") as caught:
        import_checkpoint(f"{server}/absent.pt{signed}", tmp_path / "out")
    assert "hidden" not in str(caught.value)
