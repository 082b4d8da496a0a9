"""Safetensors files by their headers: what they hold is known before a tensor is read."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
from torch import Tensor

from distmerge.errors import CheckpointError, problem_list
from distmerge.spec import AnyTower, TextTower
from distmerge.tensorfiles import readable

_NUMBERS = ("F64", "F32", "F16", "BF16")


class TensorInfo(NamedTuple):
    """A tensor's shape, and its type by safetensors' name, such as F32."""

    shape: tuple[int, ...]
    dtype: str


class CheckpointFile(Mapping[str, Tensor]):
    """A state dict on disk: names, shapes and metadata at once, a tensor when it is asked for.

    The file is opened anew for every tensor: as long as it is open, all that was read of it counts
    as the process's memory.
    """

    def __init__(self, path: Path) -> None:
        """Read the header.

        Raises:
            CheckpointError: the file is missing, truncated or not safetensors.
        """
        self.path = path
        with _opened(path) as file:
            self.metadata: dict[str, str] = dict(file.metadata() or {})
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  # no dict
            self.tensors = {
                name: TensorInfo(tuple(part.get_shape()), part.get_dtype())
                for name, part in slices.items()
            }

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise KeyError(name)
        with _opened(self.path) as file:
            tensor: Tensor = file.get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


def checkpoint_files(paths: Mapping[str, Path]) -> dict[str, CheckpointFile]:
    """Give the checkpoints of models by name.

    Raises:
        CheckpointError: lists every file that is missing, truncated or not safetensors.
    """
    files, problems = {}, []
    for name, path in paths.items():
        try:
            files[name] = CheckpointFile(path)
        except CheckpointError as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise CheckpointError(problem_list("checkpoints", problems))
    return files


def header_problems(
    file: CheckpointFile, shapes: Mapping[str, tuple[int, ...]], whole: str = "the tower"
) -> Iterator[str]:
    """Yield every tensor that is missing, extra, misshaped or not of a floating type.

    Args:
        file: a state dict.
        shapes: what is expected.
        whole: what the tensors are of.
    """
    for name in sorted(shapes.keys() - file.tensors.keys()):
        yield f"{name}: missing"
    for name in sorted(file.tensors.keys() - shapes.keys()):
        yield f"{name}: not in {whole}"
    for name, shape in shapes.items():
        found = file.tensors.get(name)
        if found is not None and found.shape != tuple(shape):
            yield f"{name}: got shape {found.shape}, expected {tuple(shape)}"
        elif found is not None and found.dtype not in _NUMBERS:
            yield f"{name}: got type {found.dtype}, expected one of {', '.join(_NUMBERS)}"


def metadata_problems(file: CheckpointFile, config: AnyTower) -> Iterator[str]:
    """Yield where a file's own ``activation`` or ``preprocess`` is not the tower's.

    Files need not say either; ``preprocess`` is JSON with the fields of the tower's.
    """
    if not isinstance(config, TextTower):
        activation = "quick_gelu" if config.quick_gelu else "gelu"
        said = file.metadata.get("activation", activation)
        if _plain(said) != _plain(activation):
            yield f"activation: made with {said}, the tower has {activation} (quick_gelu)"
    preprocess = file.metadata.get("preprocess")
    if preprocess is None:
        return
    try:
        own = type(config.preprocess).model_validate_json(preprocess)
    except ValueError as error:
        yield f"preprocess: not readable in the metadata ({error})"
        return
    if own != config.preprocess:
        yield f"preprocess: made with {own}, the tower has {config.preprocess}"


def _plain(activation: str) -> str:
    return re.sub(r"[^a-z]", "", activation.lower())


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with readable(path), safetensors.safe_open(path, framework="pt") as file:
        yield file
