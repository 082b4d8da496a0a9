from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from distmerge.errors import CheckpointError
from distmerge.static.files import FLOATS, ModelFile, model_files

TYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", TYPES)
def test_parts_of_a_tensor_are_read_as_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    tensor = torch.linspace(-3, 70000, 40).reshape(4, 10).to(dtype)
    save_file({"first": torch.ones(3), "weight": tensor}, tmp_path / "model")
    file = ModelFile(tmp_path / "model")
    values = np.empty(7, np.float32)
    file.read("weight", 11, values)
    file.close()
    np.testing.assert_array_equal(values, tensor.float().reshape(-1)[11:18].numpy())


def test_a_header_says_what_safetensors_says(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2, 3), "b": torch.tensor([1])}, tmp_path / "model", {"who": "me"})
    file = ModelFile(tmp_path / "model")
    file.close()
    assert file.metadata == {"who": "me"}
    assert file.tensors["a"].shape == (2, 3)
    assert file.tensors["a"].size == 6
    assert {name: place.dtype for name, place in file.tensors.items()} == {"a": "F32", "b": "I64"}
    assert file.floats.keys() == {"a"}


def test_a_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(100)}, tmp_path / "model")
    with model_files([tmp_path / "model"]) as (file,):
        (tmp_path / "model").write_bytes((tmp_path / "model").read_bytes()[:-8])
        with pytest.raises(CheckpointError, match="became shorter while it was read"):
            file.read("weight", 0, np.empty(100, np.float32))


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2)}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="`distmerge import` converts"):
        ModelFile(tmp_path / "model.pt")


def test_floating_types_are_as_wide_as_their_names_say() -> None:
    assert {name: 8 * dtype.itemsize for name, dtype in FLOATS.items()} == {
        "F64": 64,
        "F32": 32,
        "F16": 16,
        "BF16": 16,
    }
