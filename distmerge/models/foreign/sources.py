"""Where a checkpoint comes from: a local path, or any URL that fsspec knows."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from distmerge.errors import CheckpointError

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
ADAPTER_CONFIG = "adapter_config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_FETCHED = (CONFIG, PREPROCESSOR, ADAPTER_CONFIG, *WEIGHTS, *ADAPTER_WEIGHTS)


@contextmanager
def local_copy(source: str) -> Iterator[Path]:
    """Give a local file or folder of the source's name; a URL's copy is removed afterwards.

    Raises:
        CheckpointError: nothing is there, it may not be read, or its file system is not installed.
    """
    if "://" not in source:
        path = Path(source).expanduser()
        if not path.exists():
            raise CheckpointError(f"{source}: no such file or folder")
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="distmerge-import-") as folder:
        yield _fetched(source, Path(folder))


def _fetched(source: str, folder: Path) -> Path:
    import fsspec

    target = folder / PurePosixPath(source.rstrip("/")).name
    try:
        filesystem, place = fsspec.core.url_to_fs(source)
        if filesystem.isfile(place):
            filesystem.get_file(place, str(target))
            return target
        found = [name for name in _FETCHED if filesystem.isfile(f"{place.rstrip('/')}/{name}")]
        target.mkdir()
        for name in found:
            filesystem.get_file(f"{place.rstrip('/')}/{name}", str(target / name))
    except ImportError as error:
        extra = {"hf": "hf", "s3": "s3"}.get(source.partition("://")[0])
        how = f"pip install 'distmerge[{extra}]'" if extra else "install its fsspec package"
        raise CheckpointError(f"{source}: cannot be opened ({error}); {how}") from error
    except Exception as error:  # every file system behind fsspec has errors of its own
        raise CheckpointError(
            f"{source}: cannot be read ({type(error).__name__}: {error})"
        ) from error
    if not found:
        raise CheckpointError(
            f"{source}: no such file or key, and no folder with {CONFIG} or {ADAPTER_CONFIG} either"
        )
    return target
