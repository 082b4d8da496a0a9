"""Any stored run as a folder that stands alone. Heavy imports happen once it is made."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from distmerge.errors import ConfigError

if TYPE_CHECKING:
    from distmerge.sweep.export.folder import StoredRun


def export_run(
    run_id: str, storage: str, *, to: Path | None = None, hugging_face: bool = False
) -> Path:
    """Write a run's model into a new folder and give the folder: all of it, or nothing.

    Args:
        run_id: of a run that ended well, or how it begins.
        storage: folder or URL of the results dataset.
        to: the folder; by default STUDY-RUN in the current one.
        hugging_face: write the tower also as transformers reads it.

    Raises:
        CheckpointError: lists every file that is missing or no longer what the run merged, or the
            tower cannot be written as asked.
        ConfigError: the folder is there already, or this version does not know the run's method.
        ResultsError: no run or several runs begin so, or a file of the results is missing.
    """
    from distmerge.methods import HYPERS
    from distmerge.results import RunStore
    from distmerge.sweep.export.rebuild import found, rebuilt

    store = RunStore(storage, HYPERS)
    row = found(store, run_id)
    folder = to or Path(f"{row['study']}-{row['run_id']}")
    if folder.exists():
        raise ConfigError(f"{folder} is there already; choose another folder with --to")
    write_model(rebuilt(store, row), folder, hugging_face=hugging_face)
    return folder


def write_model(run: "StoredRun", folder: Path, *, hugging_face: bool = False) -> None:
    """Write a run's model into a new folder: all of it, or nothing.

    Raises:
        CheckpointError: the tower cannot be written as asked.
        ConfigError: the folder is there already.
    """
    if folder.exists():
        raise ConfigError(f"{folder} is there already; choose another folder")
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        for name, content in _files(run, hugging_face=hugging_face):
            path = unfinished / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _files(run: "StoredRun", *, hugging_face: bool) -> Iterator[tuple[str, bytes]]:
    """Yield the folder's files; what cannot be written is refused before the first.

    Raises:
        CheckpointError: transformers has no such tower, or the model is not one tower.
    """
    from distmerge.sweep.export.folder import model_files
    from distmerge.sweep.export.hugging_face import hugging_face_files

    extra = hugging_face_files(run) if hugging_face else {}
    yield from model_files(run)
    yield from extra.items()
