import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import distmerge
from distmerge.models.foreign import from_hugging_face
from distmerge.spec import Preprocess
from distmerge.sweep import export_run
from distmerge.sweep.export.hugging_face import FOLDER, _preprocessor
from tests.sweep.exports import Exports
from tests.world import TOWER


@pytest.fixture(scope="module")
def folder(exports: Exports, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("hugging_face") / "model"
    return export_run(exports.runs["ties"], str(exports.storage), to=place, hugging_face=True)


def test_the_tower_in_the_hugging_face_folder_is_the_merged_one(folder: Path) -> None:
    config = json.loads((folder / FOLDER / "config.json").read_text())
    state, _ = from_hugging_face(load_file(folder / FOLDER / "model.safetensors"), config)
    expected = load_file(folder / "model.safetensors")
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_the_other_files_are_as_without_it(folder: Path, exports: Exports) -> None:
    plain = exports.folders["ties"]
    names = [path.relative_to(plain) for path in plain.rglob("*") if path.is_file()]
    assert all((folder / name).read_bytes() == (plain / name).read_bytes() for name in names)


@pytest.mark.slow
def test_transformers_loads_the_tower_and_gives_its_features(folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tower = transformers.CLIPVisionModelWithProjection.from_pretrained(folder / FOLDER).eval()
    model = distmerge.load(folder)
    pixels = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = tower(pixel_values=pixels).image_embeds
    weights = load_file(folder / "model.safetensors")
    expected = model.model.tower.features(weights, pixels)  # type: ignore[attr-defined]  # it has one
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("resize", "side", "cut"), [("shortest", "shortest_edge", True), ("squash", "height", False)]
)
def test_images_are_resized_as_the_tower_reads_them(resize: str, side: str, cut: bool) -> None:
    content = {**TOWER.preprocess.model_dump(), "resize": resize, "interpolation": "bilinear"}
    written = json.loads(_preprocessor(Preprocess.model_validate(content)))
    assert (written["size"][side], written["do_center_crop"], written["resample"]) == (16, cut, 2)
