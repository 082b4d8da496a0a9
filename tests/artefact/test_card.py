import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

import distmerge
from distmerge.artefact.card import model_card
from distmerge.artefact.description import load_description
from distmerge.artefact.pictures import tower_input
from tests.sweep.exports import KINDS, ROUTED, Exports
from tests.world import TOWER


@pytest.fixture
def folder(exports: Exports, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A model's folder with a photo in it, as the card's examples expect."""
    place = Path(shutil.copytree(exports.folders[request.param], tmp_path / "model"))
    pixels = np.random.default_rng(1).integers(0, 256, (40, 56, 3), np.uint8)
    Image.fromarray(pixels).save(place / "photo.png")
    return place


def examples(folder: Path) -> list[str]:
    """Give the card's Python, text for text."""
    card = (folder / "README.md").read_text()
    return [str(code) for code in re.findall(r"```python\n(.*?)```", card, re.DOTALL)]


def run(code: str, folder: Path) -> str:
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=folder, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "folder", [ROUTED, pytest.param("tinting+surgery", marks=pytest.mark.slow)], indirect=True
)
def test_the_cards_first_example_runs_without_ray(folder: Path) -> None:
    code = examples(folder)[0]
    assert len(code.splitlines()) <= 10
    output = run(f"{code}\nimport sys\nassert 'ray' not in sys.modules\n", folder)
    assert "('alpha', 'beta', 'gamma')" in output
    assert "alpha " in output


@pytest.mark.parametrize(
    "folder", [ROUTED, pytest.param("tinting+surgery", marks=pytest.mark.slow)], indirect=True
)
def test_the_cards_second_example_gives_the_towers_features_in_plain_open_clip(
    folder: Path,
) -> None:
    code = examples(folder)[1]
    after = (
        "import sys\nfrom safetensors.torch import save_file\n"
        "assert not [name for name in sys.modules if name.startswith('distmerge')]\n"
        "save_file({'features': features}, 'features.safetensors')\n"
    )
    run(code + after, folder)
    found = load_file(folder / "features.safetensors")["features"]
    model = distmerge.load(folder)
    weights = load_file(folder / "model.safetensors")
    image = tower_input(folder / "photo.png", TOWER.preprocess)
    assert isinstance(image, torch.Tensor)
    expected = model.model.tower.features(weights, image[None])  # type: ignore[attr-defined]  # both kinds have it
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    if not model.description.routed:
        own = model.features(folder / "photo.png")
        torch.testing.assert_close(found, own, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_card_shows_accuracies_files_and_settings(kind: str, exports: Exports) -> None:
    card = (exports.folders[kind] / "README.md").read_text()
    description = load_description(exports.folders[kind])
    assert "| task | classes | clean | L1 |" in card
    clean, level = (description.accuracy[name]["beta"] for name in ("clean", "L1"))
    assert f"| beta | 4 | {100 * clean:.1f} | {100 * level:.1f} |" in card
    assert "| individual |" in card
    assert all(f"| `{name}` | " in card for name in description.files)
    assert all(f"| `{name}` | {value} |" in card for name, value in description.hyper.items())
    assert all(value in card for value in description.checkpoint_digests.values())


def test_a_routed_card_says_how_often_the_task_is_found(exports: Exports) -> None:
    card = (exports.folders[ROUTED] / "README.md").read_text()
    assert "task withheld" in card.split("## Use")[0]


def test_the_licence_is_left_to_the_user(exports: Exports) -> None:
    _, front, _ = (exports.folders["ties"] / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front)["license"] is None


def test_a_tower_of_another_make_has_its_own_example(exports: Exports) -> None:
    description = load_description(exports.folders["ties"])
    tower = description.tower.model_copy(
        update={"quick_gelu": True, "projection": False, "output_dim": 16, "ls_init_value": 0.1}
    )
    card = model_card(description.model_copy(update={"tower": tower}), {})
    code = re.findall(r"```python\n(.*?)```", card, re.DOTALL)[1].split("visual.load_state")[0]
    scope: dict[str, object] = {}
    exec(code, scope)
    visual = scope["visual"]
    assert isinstance(visual, torch.nn.Module)
    from distmerge.models import Tower

    assert {k: v.shape for k, v in visual.state_dict().items()} == Tower(tower).shapes
