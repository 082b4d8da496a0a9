import pickle
from pathlib import Path

import pytest
import torch

from distmerge.errors import CheckpointError
from distmerge.models import (
    CheckpointFile,
    TensorInfo,
    checkpoint_files,
    metadata_problems,
    save_state,
)
from distmerge.spec import TextTower, Tokens

STATE = {
    "weight": torch.arange(6.0).reshape(2, 3),
    "half": torch.ones(2, dtype=torch.bfloat16),
    "scalar": torch.tensor(0.5),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_state(tmp_path / "model.safetensors", STATE, {"activation": "gelu"})
    return tmp_path / "model.safetensors"


def test_a_header_tells_names_shapes_types_and_metadata(path: Path) -> None:
    file = CheckpointFile(path)
    assert file.metadata == {"activation": "gelu"}
    assert file.tensors == {
        "weight": TensorInfo((2, 3), "F32"),
        "half": TensorInfo((2,), "BF16"),
        "scalar": TensorInfo((), "F32"),
    }


def test_a_file_is_a_mapping_of_the_tensors_that_were_saved(path: Path) -> None:
    file = CheckpointFile(path)
    assert file.keys() == STATE.keys()
    assert len(file) == 3
    assert all(torch.equal(file[name], tensor) for name, tensor in STATE.items())


def test_an_unknown_name_is_a_key_error_as_in_any_mapping(path: Path) -> None:
    with pytest.raises(KeyError, match="nope"):
        CheckpointFile(path)["nope"]


def test_files_that_cannot_be_read_are_listed_in_one_error(path: Path) -> None:
    cut = path.with_name("cut.safetensors")
    cut.write_bytes(path.read_bytes()[:-4])
    pickled = path.with_name("pickled.pt")
    pickled.write_bytes(pickle.dumps({"weight": [1.0]}))
    paths = {"a": path, "b": cut, "c": pickled, "d": path.with_name("nowhere")}
    with pytest.raises(CheckpointError, match="checkpoints:") as caught:
        checkpoint_files(paths)
    message = str(caught.value)
    assert f"  - b: {cut}: not a readable safetensors file" in message
    assert f"  - c: {pickled}: not a readable safetensors file" in message
    assert f"  - d: {path.with_name('nowhere')}: no such checkpoint" in message
    assert "  - a: " not in message


@pytest.mark.parametrize(("length", "problems"), [(8, 0), (3, 1)])
def test_a_text_towers_own_input_is_compared(path: Path, length: int, problems: int) -> None:
    sizes = {"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1}
    tokens = Tokens(length=8, padding=0)
    config = TextTower(transformers=sizes, pooling="mean", preprocess=tokens)
    own = tokens.model_copy(update={"length": length})
    save_state(path, STATE, {"preprocess": own.model_dump_json()})
    found = list(metadata_problems(CheckpointFile(path), config))
    assert len(found) == problems
    assert all(problem.startswith("preprocess: made with length=3 ") for problem in found)
