"""What ``torch.save`` wrote, as inert records: no class is imported, no code of the file runs.

A pickle is a program. Here a name gives a placeholder; only the few calls that describe tensors and
containers are answered, by functions of our own.
"""

import io
import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from distmerge.errors import CheckpointError
from distmerge.models.foreign.places import check_places

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # torch.save before version 1.6 starts with this number
_LARGEST, _LONGEST = 2**48, 200  # of a shape, a stride or an offset in 64 bits; letters of a name
_DTYPES = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
# Calls in honest files whose result no weight needs: a placeholder is the answer.
_IGNORED = frozenset(
    {
        "torch.device",
        *(f"torch.jit._pickle.build_{kind}list" for kind in ("int", "double", "bool", "tensor")),
        "torch.jit._pickle.restore_type_tag",
        "torchvision.transforms.functional.InterpolationMode",
        *("builtins.getattr", "__builtin__.getattr"),  # enum's members by Python 3.11.0 to 3.11.3
        "PIL.Image.Resampling",
        "functools.partial",
        "pathlib.PosixPath",
        "_codecs.encode",
        "numpy.dtype",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
    }
)


class Storage(NamedTuple):
    """A block of numbers in the file."""

    key: str
    dtype: torch.dtype
    size: int
    """Number of elements."""


class StoredTensor(NamedTuple):
    """A view of a storage; its numbers are still in the file."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def fits(self) -> bool:
        """Give whether the view stays inside its storage."""
        numbers = (self.offset, *self.shape, *self.stride)
        if len(self.shape) != len(self.stride) or min(numbers) < 0 or max(numbers) > _LARGEST:
            return False
        if 0 in self.shape:
            return math.prod(max(count, 1) for count in self.shape) <= _LARGEST
        steps = [(count - 1) * step for count, step in zip(self.shape, self.stride, strict=True)]
        return self.offset + sum(steps) < self.storage.size >= math.prod(self.shape)


class _Name(type):
    """A name that a pickle mentions. Instances are placeholders, and nothing is ever called."""

    def __call__(cls, *_arguments: object) -> "Placeholder":
        place = vars(cls).get("place", "a placeholder")
        if place not in _IGNORED:
            raise CheckpointError(
                f"refused: loading it would call {place}, which no weights need; nothing was run. "
                "Expected: a state dict, or a module that torch.save wrote"
            )
        return object.__new__(cls)  # type: ignore[arg-type]  # cls is a kind of Placeholder


class Placeholder(metaclass=_Name):
    """An object whose class is not here: the class's name and the object's state."""

    place: ClassVar[str]
    state: object = None

    def __new__(cls, *_arguments: object) -> "Placeholder":
        """Give a placeholder; whatever its class wanted to know is dropped."""
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        """Keep what the object's attributes were."""
        self.state = state


class _Builder:
    """A function of ours that a pickle may call; it cannot be changed by one."""

    __slots__ = ("_build",)

    def __init__(self, build: Callable[..., object]) -> None:
        self._build = build

    def __call__(self, *arguments: object) -> object:
        return self._build(*arguments)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("the file tries to change a function")


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: object) -> StoredTensor:
    if not isinstance(storage, Storage):
        raise pickle.UnpicklingError("a tensor without a storage")
    return StoredTensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, stride)))


def _first(value: object, *_: object) -> object:
    return value


def _of_type(function: Any, _new_type: object, arguments: Any, _state: object) -> object:
    return function(*arguments)


_ANSWERED: Mapping[str, object] = {
    "collections.OrderedDict": OrderedDict,
    "builtins.set": set,
    "__builtin__.set": set,
    "builtins.frozenset": frozenset,
    "torch.Size": tuple,
    "torch._utils._rebuild_tensor": _Builder(_tensor),
    "torch._utils._rebuild_tensor_v2": _Builder(_tensor),
    "torch._utils._rebuild_parameter": _Builder(_first),
    "torch._utils._rebuild_parameter_with_state": _Builder(_first),
    "torch._tensor._rebuild_from_type_v2": _Builder(_of_type),
}


class _Reader(pickle.Unpickler):  # noqa: S301  # nothing that a file names is imported
    """Gives records for tensors and placeholders for everything else."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        super().__init__(file)
        self._file = file
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str, /) -> Any:
        place = f"{module}.{name}"[:_LONGEST]
        return _ANSWERED.get(place) or _Name("Placeholder", (Placeholder,), {"place": place})

    def load(self) -> Any:
        check_places(self._file)
        return super().load()

    def persistent_load(self, pid: Any, /) -> object:
        if pid[0] == "module":  # the class of a module, beside its source code
            return pid[1]
        _, kind, key, _, size, *view = pid
        if kind.place not in _DTYPES or view not in ([], [None]):
            raise pickle.UnpicklingError(f"tensors of kind {kind.place} are not supported")
        return self.storages.setdefault(key, Storage(key, _DTYPES[kind.place], int(size)))


@dataclass(frozen=True)
class Pickled:
    """A file of ``torch.save``: its objects as records, and where the numbers lie."""

    path: Path
    root: object
    places: Mapping[str, int]
    """Where each storage starts, in bytes."""

    def read(self, stored: StoredTensor) -> Tensor:
        """Give a tensor's numbers.

        Raises:
            CheckpointError: the file ends before them, or the tensor leaves its storage.
        """
        storage, offset, shape, stride = stored
        if storage.key not in self.places:
            raise CheckpointError(f"{self.path}: storage {storage.key} is not in the file")
        size_bytes = storage.size * storage.dtype.itemsize
        start = self.places[storage.key]
        end = self.path.stat().st_size
        empty = 0 in shape
        if not stored.fits() or (start + size_bytes > end and not empty):
            raise CheckpointError(
                f"{self.path}: cut or damaged: a tensor of shape {shape} should lie in "
                f"{storage.size} numbers from byte {start} on, the file has {end} bytes; "
                "copy it again"
            )
        if empty:
            return torch.empty(shape, dtype=storage.dtype)
        buffer = bytearray(size_bytes)
        with self.path.open("rb") as file:
            file.seek(start)
            file.readinto(buffer)
        flat = torch.frombuffer(buffer, dtype=storage.dtype)
        return flat.as_strided(shape, stride, offset).contiguous()


def read_pickled(path: Path) -> Pickled:
    """Give the records of a file of ``torch.save``, in its zip or in its older format.

    Raises:
        CheckpointError: the file is damaged, is something else, or asks for code to be run.
    """
    try:
        with path.open("rb") as file:
            read = _zipped if file.read(2) == b"PK" else _legacy
            file.seek(0)
            root, places = read(file)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except RecursionError as error:
        raise CheckpointError(f"{path}: the file refers to itself without end") from error
    except (
        *(OSError, EOFError, struct.error, zipfile.BadZipFile, pickle.UnpicklingError),
        *(ValueError, TypeError, AttributeError, LookupError, MemoryError, NotImplementedError),
    ) as error:
        raise CheckpointError(
            f"{path}: cut, damaged or not written by torch.save ({type(error).__name__}: {error}); "
            "expected safetensors, or a .pt file that torch.save wrote; copy it again"
        ) from error
    return Pickled(path, root, places)


def _zipped(file: io.BufferedIOBase) -> tuple[object, dict[str, int]]:
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(names) != 1:
            raise CheckpointError(f"a zip file with {len(names)} data.pkl inside; expected one")
        if archive.getinfo(names[0]).compress_type != zipfile.ZIP_STORED:
            raise CheckpointError(f"{names[0]} is compressed; torch.save stores it as it is")
        folder = names[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist():
            with archive.open(f"{folder}byteorder") as part:
                order = part.read(9).decode()  # not all of it: it may be compressed
            if order != "little":
                raise CheckpointError(f"byte order {order!r}; expected 'little'")
        reader = _Reader(io.BytesIO(archive.read(names[0])))
        root = reader.load()
        infos = {key: archive.getinfo(f"{folder}data/{key}") for key in reader.storages}
    return root, {key: _start(file, info, reader.storages[key]) for key, info in infos.items()}


def _start(file: io.BufferedIOBase, info: zipfile.ZipInfo, storage: Storage) -> int:
    size_bytes = storage.size * storage.dtype.itemsize
    if info.compress_type != zipfile.ZIP_STORED or info.file_size < size_bytes:
        raise CheckpointError(
            f"storage {storage.key} has {info.file_size} bytes; expected {size_bytes}, uncompressed"
        )
    file.seek(info.header_offset + 26)
    name_length, extra_length = struct.unpack("<HH", file.read(4))
    return int(info.header_offset) + 30 + int(name_length) + int(extra_length)


def _legacy(file: io.BufferedIOBase) -> tuple[object, dict[str, int]]:
    start = file.read(16)
    file.seek(0)
    if start[:1] != b"\x80":
        raise CheckpointError(
            f"starts with {start!r}; expected safetensors or a file that torch.save wrote"
        )
    if _Reader(file).load() != _LEGACY_MAGIC:
        raise CheckpointError("a plain pickle; expected a file that torch.save wrote")
    for _ in ("protocol version", "byte order and integer sizes of the writer"):
        _Reader(file).load()
    reader = _Reader(file)
    root = reader.load()
    keys = _Reader(file).load()
    places = {}
    for key in keys:
        storage = reader.storages[key]
        (size,) = struct.unpack("<q", file.read(8))
        if size != storage.size:
            raise CheckpointError(f"storage {key} has {size} numbers; expected {storage.size}")
        places[key] = file.tell()
        file.seek(size * storage.dtype.itemsize, io.SEEK_CUR)
    needed, held = file.tell(), file.seek(0, io.SEEK_END)
    if held < needed:
        raise CheckpointError(f"cut: {held} bytes, expected {needed}; copy it again")
    return root, places
