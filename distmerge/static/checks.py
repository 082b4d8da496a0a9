"""What keeps models from being merged, all of it at once and before any work."""

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from distmerge.static.files import FLOATS, ModelFile
from distmerge.tensorfiles import Stored

_FACTS = ("activation", "preprocess")
"""What files say of themselves in their metadata, if they do, and must agree on."""
_COUNTER = "num_batches_tracked"  # of batch norms: training steps, which every training counts on


def model_problems(base: ModelFile, tuned: Sequence[ModelFile]) -> Iterator[str]:
    """Yield what is wrong with files that are to be models of one architecture."""
    if not tuned:
        yield "no fine-tuned models: expected at least one file beside the base"
    if not any(place.size for place in base.floats.values()):
        yield f"{base.path}: holds no floating tensors"
    for name, place in base.tensors.items():
        if place.dtype.startswith("F") and place.dtype not in FLOATS:
            known = ", ".join(FLOATS)
            yield f"{base.path}: {name}: got type {place.dtype}, expected one of {known}"
    yield from _repetitions([base, *tuned])
    for model in tuned:
        for problem in _tensor_problems(base, model):
            yield f"{model.path}: {problem}"
    yield from _fact_problems([base, *tuned])


def output_problems(output: Path, inputs: Sequence[Path], size_bytes: int) -> Iterator[str]:
    """Yield why a file of ``size_bytes`` must not or cannot be written."""
    if any(output.exists() and output.samefile(path) for path in inputs):
        yield f"{output}: is one of the models; choose another output"
    if output.is_dir():
        yield f"{output}: is a folder; expected the name of a file"
    place = next(folder for folder in output.absolute().parents if folder.exists())
    free = shutil.disk_usage(place).free
    if free < size_bytes:
        yield f"{output}: needs {size_bytes / 1e9:.1f} GB, {place} has {free / 1e9:.1f} GB free"


def shared_facts(files: Sequence[ModelFile]) -> dict[str, str]:
    """Give what checked models say of themselves; not all need to say it."""
    return {fact: texts[0] for fact in _FACTS if (texts := list(_said(files, fact).values()))}


def _said(files: Sequence[ModelFile], fact: str) -> dict[str, str]:
    return {str(file.path): file.metadata[fact] for file in files if fact in file.metadata}


def _fact_problems(files: Sequence[ModelFile]) -> Iterator[str]:
    for fact in _FACTS:
        said = _said(files, fact)
        if len({_plain(text) for text in said.values()}) > 1:
            yield f"{fact}: " + ", ".join(f"{text} in {path}" for path, text in said.items())


def _repetitions(files: Sequence[ModelFile]) -> Iterator[str]:
    for index, file in enumerate(files):
        if any(file.path.samefile(other.path) for other in files[:index]):
            yield f"{file.path}: is given more than once; expected the base and every model once"


def _tensor_problems(base: ModelFile, model: ModelFile) -> Iterator[str]:
    for name in sorted(base.tensors.keys() - model.tensors.keys()):
        yield f"{name}: missing"
    for name in sorted(model.tensors.keys() - base.tensors.keys()):
        yield f"{name}: not in the base"
    for name, expected in base.tensors.items():
        found = model.tensors.get(name)
        if found is None:
            continue
        if found.shape != expected.shape:
            yield f"{name}: got shape {found.shape}, expected {expected.shape}"
        elif not _of_one_kind(found, expected):
            yield f"{name}: got type {found.dtype}, the base has {expected.dtype}"
        elif _is_copied(name, expected) and model.content(name) != base.content(name):
            yield f"{name}: differs from the base's; only floating tensors can be merged"


def _is_copied(name: str, place: Stored) -> bool:
    return place.dtype not in FLOATS and not name.endswith(_COUNTER)


def _of_one_kind(found: Stored, expected: Stored) -> bool:
    floats = found.dtype in FLOATS and expected.dtype in FLOATS
    return floats or found.dtype == expected.dtype


def _plain(text: str) -> str:
    """Give a text as it counts: QuickGELU is quick_gelu, and JSON's spaces mean nothing."""
    return re.sub(r"[\s_-]", "", text).lower()
