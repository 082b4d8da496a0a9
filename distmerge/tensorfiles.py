"""The safetensors format without torch: which files can be read, and headers of new ones.

Source: the format as safetensors publishes it: 8 bytes with the header's length, little-endian, the
header as JSON, the tensors' bytes.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import safetensors

from distmerge.errors import CheckpointError


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Say of a safetensors file that it cannot be read.

    Raises:
        CheckpointError: the file is missing, is a folder or is not safetensors.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such checkpoint") from error
    except (safetensors.SafetensorError, OSError) as error:
        if path.is_dir():
            raise CheckpointError(f"{path}: a folder, expected a safetensors file") from error
        raise CheckpointError(
            f"{path}: not a readable safetensors file ({error}); pickled checkpoints are refused, "
            "since loading them runs code; `distmerge import` converts them without running any"
        ) from error


class Stored(NamedTuple):
    """A tensor's type by safetensors' name, its shape and where its bytes lie in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def size(self) -> int:
        """Number of values."""
        return prod(self.shape)


class Header(NamedTuple):
    """The first bytes of a file, and the places of its tensors."""

    content: bytes
    tensors: dict[str, Stored]
    size_bytes: int
    """Of the whole file."""


def file_header(
    tensors: Mapping[str, tuple[str, tuple[int, ...], int]], metadata: Mapping[str, str]
) -> Header:
    """Give the header of a file with ``tensors``: of each its type, shape and number of bytes.

    Tensors with larger values come first, as safetensors writes them: all of them are aligned.
    """
    by_width = sorted(tensors.items(), key=lambda item: -item[1][2] // max(1, prod(item[1][1])))
    entries: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    places, offset = {}, 0
    for name, (dtype, shape, num_bytes) in by_width:
        stop = offset + num_bytes
        places[name] = Stored(dtype, shape, offset, stop)
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, stop]}
        offset = stop
    content = packed_header(entries)
    moved = {
        name: place._replace(start=place.start + len(content), stop=place.stop + len(content))
        for name, place in places.items()
    }
    return Header(content, moved, len(content) + offset)


def packed_header(entries: Mapping[str, object]) -> bytes:
    """Give a header as a file begins with it, padded so that tensors are aligned."""
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def header_of(content: bytes) -> tuple[dict[str, Any], int]:
    """Give the header of a whole file in memory, and where its tensors begin.

    Raises:
        ValueError: it is no JSON.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8:end])
    return header, end
