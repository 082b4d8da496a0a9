import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from distmerge.errors import ZooError
from distmerge.models import Tower, load_head, load_state
from distmerge.spec import ImageCounts, load_tower_config
from distmerge.tasks import Decoding, load_tasks
from distmerge.zoo import build_zoo, cache_root, zoo_files
from distmerge.zoo.finetune import accuracy
from distmerge.zoo.folder import zoo_folder
from distmerge.zoo.pictures import Pictures
from distmerge.zoo.tiny import TINY


def ignore(line: str) -> None:
    """Take no notice of a line of progress."""


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"DISTMERGE_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, Path("/a")),
        ({"XDG_CACHE_HOME": "/b"}, Path("/b/distmerge")),
        ({"HOME": "/c"}, Path("/c/.cache/distmerge")),
    ],
    ids=["own", "shared", "home"],
)
def test_the_cache_is_where_the_environment_says(
    variables: dict[str, str], expected: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISTMERGE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_root() == expected


def test_a_zoo_that_was_never_built_has_no_files(tmp_path: Path) -> None:
    assert zoo_files("tiny", root=tmp_path) is None


def test_an_unfinished_zoo_has_no_files(tmp_path: Path) -> None:
    folder = zoo_folder(TINY, tmp_path)
    folder.root.mkdir(parents=True)
    folder.base.touch()
    assert zoo_files("tiny", root=tmp_path) is None


def test_a_finished_zoo_is_not_built_again(tmp_path: Path) -> None:
    folder = zoo_folder(TINY, tmp_path)
    folder.root.mkdir(parents=True)
    folder.finished.touch()
    lines: list[str] = []
    assert build_zoo("tiny", root=tmp_path, report=lines.append) == zoo_files("tiny", root=tmp_path)
    assert lines == []


def test_an_unknown_zoo_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ZooError, match="unknown zoo 'huge'; built-in zoos: tiny, mini, mini12, text"
    ):
        zoo_files("huge")


def test_looking_for_a_zoo_needs_no_torch() -> None:
    code = "import sys, distmerge.zoo as z; z.zoo_files('tiny'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "mini"])
def test_every_individual_model_beats_the_pretrained_on_report_images(
    name: str, tmp_path: Path
) -> None:
    files = build_zoo(name, root=tmp_path, report=ignore)
    assert zoo_files(name, root=tmp_path) == files
    tower, base = Tower(load_tower_config(files.tower)), load_state(files.base)
    gains = {}
    decoding = Decoding(tower.config.preprocess, tmp_path)
    tasks = load_tasks(files.tasks, ImageCounts(), transductive=False, decoding=decoding)
    for task, place in zip(tasks, files.tasks, strict=True):
        head = load_head(
            place.head_file,
            num_classes=len(task.classes),
            feature_dim=tower.config.output_dim,
        )
        report = Pictures(np.array(task.report.samples.array), task.report.labels)
        before, after = (
            accuracy(tower, weights, head, report)
            for weights in (base, load_state(place.checkpoint))
        )
        gains[task.name] = after - before
    assert min(gains.values()) > 0.02, gains
    assert torch.tensor(list(gains.values())).mean() > 0.2


@pytest.mark.slow
def test_the_zoo_of_texts_is_built_from_packages_alone(tmp_path: Path) -> None:
    files = build_zoo("text", root=tmp_path, report=ignore)
    config = load_tower_config(files.tower)
    decoding = Decoding(config.preprocess, tmp_path, files.tower.parent)
    tasks = load_tasks(files.tasks, ImageCounts(), transductive=False, decoding=decoding)
    assert [len(task.classes) for task in tasks] == [13, 10, 16]
