"""Checkpoints and images that lie on S3 give what they give on the disk."""

import json
from pathlib import Path

import pytest
import torch
from transformers import CLIPVisionModelWithProjection

from distmerge.errors import CheckpointError
from distmerge.models import Tower, import_checkpoint, load_state, save_state
from distmerge.spec import RoleData, WholeData
from distmerge.tasks import Decoding
from distmerge.tasks.arrays import array_folder
from distmerge.tasks.listing import listed
from tests.models.test_foreign_hugging_face import saved
from tests.storage.clients import client
from tests.storage.server import needs_s3
from tests.tasks.pictures import CLASSES, PREPROCESS, samples_of, write_flat
from tests.tasks.test_arrays import KINDS
from tests.world import TOWER, random_weights

pytestmark = needs_s3
SAMPLES = samples_of(20)


def uploaded(folder: Path, url: str) -> str:
    """Put a folder's files below a URL."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        client().put_file(str(path), f"{url}/{path.relative_to(folder)}")
    return url


def test_a_file_on_s3_is_imported_as_the_local_one(bucket: str, tmp_path: Path) -> None:
    state = {f"visual.{k}": v for k, v in random_weights(Tower(TOWER), 0).items()}
    save_state(tmp_path / "files" / "model.safetensors", state)
    url = uploaded(tmp_path / "files", f"{bucket}/checkpoints")
    local = import_checkpoint(str(tmp_path / "files" / "model.safetensors"), tmp_path / "local")
    remote = import_checkpoint(f"{url}/model.safetensors", tmp_path / "remote")
    assert [p.name for p in remote.files] == [p.name for p in local.files]
    expected = load_state(local.files[0])
    torch.testing.assert_close(load_state(remote.files[0]), expected, rtol=0, atol=0)


def test_a_folder_of_hugging_face_on_s3_is_imported_as_the_local_one(
    bucket: str, tmp_path: Path
) -> None:
    saved(tmp_path / "vision", CLIPVisionModelWithProjection)
    (tmp_path / "vision" / "optimizer.pt").write_bytes(b"not fetched")
    url = uploaded(tmp_path / "vision", f"{bucket}/checkpoints/vision")
    local = import_checkpoint(str(tmp_path / "vision"), tmp_path / "local")
    remote = import_checkpoint(f"{url}/", tmp_path / "remote")
    assert [p.name for p in remote.files] == [p.name for p in local.files]
    described = [json.loads(done.files[1].read_text()) for done in (local, remote)]
    assert described[0] == described[1]


def test_a_prefix_that_holds_no_model_is_named(bucket: str, tmp_path: Path) -> None:
    write_flat(tmp_path / "images", SAMPLES[:1])
    url = uploaded(tmp_path / "images", f"{bucket}/images")
    with pytest.raises(CheckpointError, match=rf"{url}: a folder without config\.json or"):
        import_checkpoint(url, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_images_on_s3_are_those_of_the_disk(kind: str, bucket: str, tmp_path: Path) -> None:
    decoding = Decoding(PREPROCESS, tmp_path / "cache")
    path = KINDS[kind](tmp_path / kind, SAMPLES)
    folder = path if path.is_dir() else path.parent
    url = uploaded(folder, f"{bucket}/images")
    local = array_folder(WholeData(path=str(path), classes=CLASSES), decoding)
    remote = array_folder(WholeData(path=url, classes=CLASSES), decoding)
    assert remote == local  # by content


def test_roles_on_s3_are_those_of_the_disk(bucket: str, tmp_path: Path) -> None:
    decoding = Decoding(PREPROCESS, tmp_path / "cache")
    write_flat(tmp_path / "data" / "adapt", SAMPLES[:6])
    KINDS["folder"](tmp_path / "data" / "select", SAMPLES[6:12])
    KINDS["folder"](tmp_path / "data" / "report", SAMPLES[12:])
    url = uploaded(tmp_path / "data", f"{bucket}/data")
    found = [
        array_folder(RoleData(**{r: f"{at}/{r}" for r in ("adapt", "select", "report")}), decoding)
        for at in (tmp_path / "data", url)
    ]
    assert found[0] == found[1]


def test_an_image_that_is_written_again_is_another_version(bucket: str, tmp_path: Path) -> None:
    write_flat(tmp_path / "images", SAMPLES[:2])
    url = uploaded(tmp_path / "images", f"{bucket}/images")
    before = listed(url)
    client().pipe_file(f"{url}/0.png", b"something else")
    after = listed(url)
    assert before.files[1] == after.files[1]
    assert before.files[0].version != after.files[0].version
