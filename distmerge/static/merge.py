"""From files of models to the file of their merge."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float32, Shaped

from distmerge import __version__
from distmerge.errors import CheckpointError, problem_list
from distmerge.files import whole_file
from distmerge.static.blocks import Block, Models, Trim, in_threads
from distmerge.static.checks import model_problems, output_problems, shared_facts
from distmerge.static.files import FLOATS, ModelFile, model_files
from distmerge.static.recipe import Recipe
from distmerge.static.tally import Votes
from distmerge.tensorfiles import Header, file_header

OutputType: TypeAlias = Literal["float32", "bfloat16", "float16", "base"]
"""Of the merged tensors; ``base``: every tensor has the base's type."""

_TYPES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}


def merge_files(
    base: Path, tuned: Sequence[Path], output: Path, recipe: Recipe, dtype: OutputType = "float32"
) -> None:
    """Write the merge of fine-tuned models to ``output``, whole or not at all.

    Models are safetensors state dicts of any architecture. Floating tensors are merged: read as
    float32, float64 ones too, summed in float64 and rounded once; a running variance below zero
    becomes zero. The others must be equal in all files, counts of batches aside, and are the
    base's. The metadata say what was merged and how; names and sizes stand for the inputs, since
    hashing would take longer than the merge.

    Raises:
        CheckpointError: lists everything by which the files do not fit together; or a tensor holds
            NaN or infinity, merged values are too large for ``dtype``, or the output cannot be
            written.
    """
    with model_files([base, *tuned]) as (root, *others):
        problems = list(model_problems(root, others))
        header = _header(root, others, recipe, dtype)
        problems += output_problems(output, [base, *tuned], header.size_bytes)
        if problems:
            raise CheckpointError(problem_list("models cannot be merged", problems))
        models = Models(root, others)
        selection = recipe.selection
        trim = models.trim(selection) if selection else None
        coefficient = recipe.coefficient(len(others))
        try:
            with whole_file(output) as unfinished, unfinished.open("wb") as file:
                _Output(models, coefficient, trim, header, file.fileno()).write()
        except OSError as error:
            raise CheckpointError(f"{output}: cannot be written ({error.strerror})") from error


def _header(
    base: ModelFile, tuned: Sequence[ModelFile], recipe: Recipe, dtype: OutputType
) -> Header:
    types = {
        name: _TYPES.get(dtype, place.dtype) if place.dtype in FLOATS else place.dtype
        for name, place in base.tensors.items()
    }
    tensors = {
        name: (
            types[name],
            place.shape,
            place.size * FLOATS[types[name]].itemsize
            if place.dtype in FLOATS
            else place.stop - place.start,
        )
        for name, place in base.tensors.items()
    }
    merge = {
        "method": recipe.method,
        "settings": recipe.hyper.model_dump(),
        "base": {"name": base.path.name, "bytes": base.size_bytes},
        "tuned": [{"name": file.path.name, "bytes": file.size_bytes} for file in tuned],
        "distmerge": __version__,
    }
    facts = shared_facts([base, *tuned])
    return file_header(tensors, {"format": "pt", **facts, "merge": json.dumps(merge)})


@dataclass(frozen=True)
class _Output:
    """A file that is being written; parts are written in any order."""

    models: Models
    coefficient: float
    trim: Trim | None
    header: Header
    descriptor: int

    def write(self) -> None:
        """Write everything. Parameters without majority are rare, so they are written again."""
        _write(self.descriptor, memoryview(self.header.content), 0)
        base = self.models.base
        for name in base.tensors.keys() - base.floats.keys():
            content = memoryview(base.content(name))
            _write(self.descriptor, content, self.header.tensors[name].start)
        blocks = self.models.blocks()
        votes = in_threads(lambda block: self._write_block(block, majority=1), blocks)
        if self.trim is not None and sum(vote.balance for vote in votes) <= 0:
            tied = [block for block, vote in zip(blocks, votes, strict=True) if vote.tied]
            in_threads(lambda block: self._write_block(block, majority=-1), tied)

    def _write_block(self, block: Block, *, majority: int) -> Votes:
        merged, votes = self.models.merged(block, self.coefficient, self.trim, majority)
        place = self.header.tensors[block.tensor]
        encoded = _encoded(merged, place.dtype)
        if encoded is None:
            raise CheckpointError(
                f"{block.tensor}: got values up to {np.abs(merged).max():.3g}, which {place.dtype} "
                "cannot hold; choose --dtype float32"
            )
        start = place.start + block.first * FLOATS[place.dtype].itemsize
        _write(self.descriptor, encoded.data, start)
        return votes


@np.errstate(over="ignore")
def _encoded(
    values: Float32[np.ndarray, " parameter"], dtype: str
) -> Shaped[np.ndarray, " parameter"] | None:
    """Give numbers as a file holds them, rounded to nearest even; None if one overflows."""
    if dtype == "BF16":
        bits = values.view(np.uint32)
        rounded = (bits + ((bits >> 16 & 1) + 0x7FFF)) >> 16
        return None if (rounded & 0x7F80 == 0x7F80).any() else rounded.astype(FLOATS[dtype])
    encoded = values.astype(FLOATS[dtype], copy=False)
    return encoded if dtype == "F32" or np.isfinite(encoded).all() else None


def _write(descriptor: int, content: memoryview, offset: int) -> None:
    rest = content.cast("B")
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[written:], offset + written
