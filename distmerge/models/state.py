"""State dicts on disk: safetensors in, safetensors out, nothing executed."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import safetensors
from safetensors.torch import load_file, save_file
from torch import Tensor

from distmerge.errors import CheckpointError
from distmerge.files import file_stamp, whole_file
from distmerge.tensorfiles import readable

StateDict = dict[str, Tensor]


def load_state(path: Path) -> StateDict:
    """Give the tensors of a safetensors file, on the CPU.

    Raises:
        CheckpointError: the file is missing or is not safetensors.
    """
    with readable(path):
        state: StateDict = load_file(path)
    return state


def load_metadata(path: Path) -> dict[str, str]:
    """Give the text that was saved beside the tensors.

    Raises:
        CheckpointError: the file is missing or is not safetensors.
    """
    with readable(path), safetensors.safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def save_state(
    path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors and text to ``path``, whole or not at all."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with whole_file(path) as unfinished:
        save_file(tensors, unfinished, dict(metadata or {}))


def sha256(path: Path) -> str:
    """Give the SHA-256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_digest(path: Path) -> str:
    """Give 16 hexadecimal digits of the SHA-256 of a file's content.

    A process reads a file that does not change only once.

    Raises:
        CheckpointError: the file is missing.
    """
    try:
        return _digest(path, *file_stamp(path))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot read the file ({error.strerror})") from error


@lru_cache(maxsize=1024)
def _digest(path: Path, *_stamp: object) -> str:
    return sha256(path)[:16]
