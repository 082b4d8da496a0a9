"""Imports that are killed."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from distmerge.models import Tower, import_checkpoint, load_state
from distmerge.spec import load_tower_config
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
