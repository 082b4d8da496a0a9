"""The tiny world as a notebook names its files."""

from pathlib import Path
from typing import Any

from distmerge.api import Models, open_models
from distmerge.spec import ModelFiles


def places_of(files: ModelFiles) -> dict[str, Any]:
    """Give base, checkpoints and data; heads and the tower's description lie beside them."""
    return {
        "base": files.base,
        "checkpoints": {task.name: task.checkpoint for task in files.tasks},
        "data": {task.name: str(task.data) for task in files.tasks},
    }


def models_of(files: ModelFiles, **options: Any) -> Models:
    return open_models(**places_of(files), **options)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
