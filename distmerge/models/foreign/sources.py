"""Where a checkpoint comes from: a local path, or any URL that fsspec knows."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from distmerge.errors import CheckpointError, ConfigError
from distmerge.models.foreign.text import DENSE, LENGTHS, POOLING, TOKENIZER
from distmerge.remote import open_url, reason, without_query

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
ADAPTER_CONFIG = "adapter_config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_FETCHED = (
    *(CONFIG, PREPROCESSOR, ADAPTER_CONFIG, *WEIGHTS, *ADAPTER_WEIGHTS),
    *(TOKENIZER, POOLING, DENSE, *LENGTHS),
)


@contextmanager
def local_copy(source: str) -> Iterator[Path]:
    """Give a local file or folder of the source's name; a URL's copy is removed afterwards.

    Raises:
        CheckpointError: nothing is there, it may not be read, or its file system is not installed.
        ConfigError: a URL holds a password or key.
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
    shown = without_query(source)
    named = source.partition("?")[0] if shown != source else source
    target = folder / PurePosixPath(named.rstrip("/")).name
    try:
        filesystem, place = open_url(source)
        # isfile would take a refusal, or a server that does not answer, for a missing file.
        if filesystem.info(place)["type"] == "file":
            filesystem.get_file(place, str(target))
            return target
        there = {PurePosixPath(name).name for name in filesystem.ls(place, detail=False)}
        found = [name for name in _FETCHED if name.partition("/")[0] in there]
        for name in found:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            filesystem.get_file(f"{place.rstrip('/')}/{name}", str(target / name))
    except ConfigError:
        raise
    except Exception as error:  # every file system behind fsspec has errors of its own
        raise CheckpointError(f"{shown}: cannot be read: {reason(error, source)}") from error
    if not found:
        raise CheckpointError(
            f"{shown}: a folder without {CONFIG} or {ADAPTER_CONFIG}; expected a file, or a "
            "folder as transformers or peft writes it"
        )
    return target
