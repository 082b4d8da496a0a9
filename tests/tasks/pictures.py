"""Small real files of every kind that holds images."""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import UInt8
from PIL import Image

from distmerge.spec import Preprocess

SIZE = 16
PREPROCESS = Preprocess(size=SIZE, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
CLASSES = ("cat", "dog")
Sample = tuple[UInt8[np.ndarray, "height width 3"], int]


def samples_of(number: int, *, seed: int = 0, side: int = SIZE) -> list[Sample]:
    """Give different images, with labels 0, 1, 0, 1, ..."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (number, side, side, 3), np.uint8)
    return [(image, index % len(CLASSES)) for index, image in enumerate(pixels)]


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def write_folder(folder: Path, samples: Sequence[Sample]) -> Path:
    """Write CLASS/NUMBER.png."""
    for index, (pixels, label) in enumerate(samples):
        path = folder / CLASSES[label] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(pixels))
    return folder


def write_flat(folder: Path, samples: Sequence[Sample]) -> Path:
    """Write NUMBER.png, without labels."""
    folder.mkdir(parents=True)
    for index, (pixels, _) in enumerate(samples):
        (folder / f"{index}.png").write_bytes(encoded(pixels))
    return folder


def table_of(samples: Sequence[Sample], *, named: bool = True) -> pa.Table:
    """Give rows as Hugging Face writes them, with class names in the metadata or without."""
    images = [{"bytes": encoded(pixels), "path": None} for pixels, _ in samples]
    table = pa.table({"image": images, "label": pa.array([label for _, label in samples])})
    if not named:
        return table
    label = {"names": list(CLASSES), "_type": "ClassLabel"}
    features = {"image": {"_type": "Image"}, "label": label}
    return table.replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )


def write_parquet(path: Path, samples: Sequence[Sample], *, named: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table_of(samples, named=named), path)
    return path


def write_saved(folder: Path, samples: Sequence[Sample]) -> Path:
    """Write what ``datasets.Dataset.save_to_disk`` does."""
    folder.mkdir(parents=True)
    table = table_of(samples)
    with pa.ipc.new_stream(folder / "data-00000-of-00001.arrow", table.schema) as writer:
        writer.write_table(table)
    (folder / "state.json").write_text("{}")
    (folder / "dataset_info.json").write_text("{}")
    return folder


def write_shards(folder: Path, samples: Sequence[Sample], *, per_shard: int = 5) -> Path:
    """Write 00.tar, 01.tar, ... of KEY.png and KEY.cls."""
    folder.mkdir(parents=True)
    for start in range(0, len(samples), per_shard):
        files: dict[str, bytes] = {}
        for index, (pixels, label) in enumerate(samples[start : start + per_shard], start):
            files |= {f"{index:04}.png": encoded(pixels), f"{index:04}.cls": str(label).encode()}
        write_tar(folder / f"{start // per_shard:02}.tar", files)
    return folder


def write_tar(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path
