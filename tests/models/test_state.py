import hashlib
import os
import pickle
from pathlib import Path

import pytest
import torch

from distmerge.errors import CheckpointError
from distmerge.models import (
    CheckpointFile,
    file_digest,
    load_metadata,
    load_state,
    save_state,
)
from distmerge.models import state as files


class Malicious:
    """What a hostile checkpoint holds: unpickling it makes a folder."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


def test_tensors_and_text_come_back_as_they_were_written(tmp_path: Path) -> None:
    state = {
        "plain": torch.arange(6.0).reshape(2, 3),
        "transposed": torch.arange(6.0).reshape(2, 3).T,
        "half": torch.ones(2, dtype=torch.bfloat16),
        "scalar": torch.tensor(0.5),
    }
    path = tmp_path / "new folder" / "model.safetensors"
    save_state(path, state, {"recipe": "abc"})
    loaded = load_state(path)
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], state[name]) for name in state)
    assert all(loaded[name].dtype == state[name].dtype for name in state)
    assert load_metadata(path) == {"recipe": "abc"}


def test_views_of_one_flat_vector_are_written_apart(tmp_path: Path) -> None:
    one, other = torch.arange(5.0).split([2, 3])
    save_state(tmp_path / "model.safetensors", {"one": one, "other": other})
    loaded = load_state(tmp_path / "model.safetensors")
    assert torch.equal(loaded["one"], one)
    assert torch.equal(loaded["other"], other)


def test_a_file_without_text_has_empty_metadata(tmp_path: Path) -> None:
    save_state(tmp_path / "model.safetensors", {"weight": torch.ones(1)})
    assert load_metadata(tmp_path / "model.safetensors") == {}


def test_writing_again_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_state(path, {"weight": torch.zeros(1)})
    save_state(path, {"weight": torch.ones(1)})
    assert load_state(path)["weight"].item() == 1
    assert list(tmp_path.iterdir()) == [path]


def test_the_control_really_runs_code_when_it_is_unpickled(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Malicious(tmp_path / "harm")))
    assert (tmp_path / "harm").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "model.pt"
    torch.save(
        {"weight": Malicious(tmp_path / "harm")}, path, _use_new_zipfile_serialization=zipped
    )
    with pytest.raises(CheckpointError, match=r"model\.pt: .*pickled checkpoints are refused"):
        load_state(path)
    with pytest.raises(CheckpointError, match="`distmerge import` converts them"):
        load_metadata(path)
    with pytest.raises(CheckpointError, match="`distmerge import` converts them"):
        CheckpointFile(path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("content", [b"", b"12345678", b"\xff" * 64])
def test_a_broken_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(
        CheckpointError, match=r"model\.safetensors: not a readable safetensors file"
    ):
        load_state(path)


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_state(path, {"weight": torch.ones(100)})
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_state(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent.safetensors"
    with pytest.raises(CheckpointError, match=r"absent\.safetensors: no such checkpoint"):
        load_state(path)
    with pytest.raises(CheckpointError, match=r"absent\.safetensors: no such checkpoint"):
        load_metadata(path)
    with pytest.raises(CheckpointError, match=r"absent\.safetensors: cannot read the file"):
        file_digest(path)


def test_a_digest_is_the_start_of_the_sha_256_of_the_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"weights")
    assert file_digest(path) == hashlib.sha256(b"weights").hexdigest()[:16]


def test_a_file_that_does_not_change_is_hashed_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"weights")
    calls = files._digest.cache_info().hits
    assert file_digest(path) == file_digest(path)
    assert files._digest.cache_info().hits == calls + 1
    path.write_bytes(b"other")
    assert file_digest(path) == hashlib.sha256(b"other").hexdigest()[:16]
