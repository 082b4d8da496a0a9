"""Safetensors files part by part, without torch: headers, and numbers read as float32.

Float64 is rounded to it as well. Source: the format as safetensors publishes it: 8 bytes with the
header's length, little-endian, the header as JSON, the tensors' bytes.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import safetensors
from jaxtyping import Float32, UInt8

from distmerge.errors import CheckpointError, problem_list
from distmerge.tensorfiles import Stored, readable

FLOATS: dict[str, np.dtype] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # the upper half of a float32
}
"""The types that are merged, by safetensors' names, and how their bytes are read."""


class ModelFile:
    """A state dict on disk: names, shapes and metadata at once, values when they are asked for.

    Several threads may read at once.
    """

    def __init__(self, path: Path) -> None:
        """Read the header.

        Raises:
            CheckpointError: the file is missing, truncated or not safetensors.
        """
        self.path = path
        with readable(path), safetensors.safe_open(path, framework="numpy"):  # checks header, size
            self._descriptor = os.open(path, os.O_RDONLY)
        length = int.from_bytes(os.pread(self._descriptor, 8, 0), "little")
        header = json.loads(os.pread(self._descriptor, length, 8))
        self.metadata: dict[str, str] = header.pop("__metadata__", {})
        self.size_bytes = os.fstat(self._descriptor).st_size
        self.tensors = {
            name: Stored(
                entry["dtype"],
                tuple(entry["shape"]),
                *(8 + length + offset for offset in entry["data_offsets"]),
            )
            for name, entry in header.items()
        }

    @property
    def floats(self) -> dict[str, Stored]:
        """The tensors that are merged."""
        return {name: place for name, place in self.tensors.items() if place.dtype in FLOATS}

    def content(self, name: str) -> bytes:
        """Give a tensor's bytes.

        Raises:
            CheckpointError: the file cannot be read any more, or became shorter.
        """
        place = self.tensors[name]
        content = np.empty(place.stop - place.start, np.uint8)
        self._fill(content, place.start)
        return content.tobytes()

    def read(self, name: str, first: int, values: Float32[np.ndarray, " value"]) -> None:
        """Fill ``values`` with a tensor's numbers from the flat index ``first`` on.

        Raises:
            CheckpointError: the file cannot be read any more, or became shorter.
        """
        place = self.tensors[name]
        dtype = FLOATS[place.dtype]
        offset = place.start + first * dtype.itemsize
        if place.dtype == "F32":
            self._fill(values.view(np.uint8), offset)
            return
        raw = np.empty(len(values), dtype)
        self._fill(raw.view(np.uint8), offset)
        if place.dtype == "BF16":
            np.left_shift(raw, 16, out=values.view(np.uint32), dtype=np.uint32)
        else:
            values[:] = raw

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _fill(self, content: UInt8[np.ndarray, " byte"], offset: int) -> None:
        done = 0
        while done < len(content):
            try:
                count = os.preadv(self._descriptor, [content[done:].data], offset + done)
            except OSError as error:
                raise CheckpointError(f"{self.path}: cannot be read ({error.strerror})") from error
            if count == 0:
                raise CheckpointError(f"{self.path}: became shorter while it was read")
            done += count


@contextmanager
def model_files(paths: Sequence[Path]) -> Iterator[list[ModelFile]]:
    """Give open files, which are closed at the end.

    Raises:
        CheckpointError: lists every file that is missing, truncated or not safetensors.
    """
    with ExitStack() as stack:
        files, problems = [], []
        for path in paths:
            try:
                files.append(ModelFile(path))
                stack.callback(files[-1].close)
            except CheckpointError as error:
                problems.append(str(error))
        if problems:
            raise CheckpointError(problem_list("checkpoints", problems))
        yield files
