"""Facts about fixed models: streamed in blocks, addressed by content, kept on disk."""

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from distmerge.errors import DataError
from distmerge.files import whole_file
from distmerge.methods.contract import PRETRAINED
from distmerge.results import Folder, patiently
from distmerge.spec import digest
from distmerge.tasks import Role
from distmerge.tensorfiles import file_header

REVISION = 1
"""Raise it whenever a feature comes out differently for the same weights and samples: what is in
caches is then computed anew."""


class FeatureBlock(NamedTuple):
    """What a fixed model says about consecutive images; NumPy, so that processes can map it."""

    layers: Float32[np.ndarray, "sample layer width"]
    features: Float32[np.ndarray, "sample feature"]
    logits: Float32[np.ndarray, "sample class"]
    confidence: Float32[np.ndarray, " sample"]


class FeatureKey(NamedTuple):
    """Which model looks at which images, by content: equal keys mean equal facts."""

    model: str
    task: str
    role: Role
    digest: str

    @property
    def crossed(self) -> bool:
        """Whether a task's model looks at another task's images; such facts hold no layers."""
        return self.model not in {self.task, PRETRAINED}


@dataclass(frozen=True)
class BlockFacts:
    """Facts as a sequence of blocks; of one block nothing is copied, so nothing may be written."""

    blocks: Sequence[FeatureBlock]

    @cached_property
    def features(self) -> Float[Tensor, "sample feature"]:
        """Final features, not normalised."""
        return _joined([block.features for block in self.blocks])

    @cached_property
    def logits(self) -> Float[Tensor, "sample class"]:
        """Logits of the task's head."""
        return _joined([block.logits for block in self.blocks])

    @cached_property
    def confidence(self) -> Float[Tensor, " sample"]:
        """Largest softmax probability."""
        return _joined([block.confidence for block in self.blocks])

    @property
    def layers(self) -> Float[Tensor, "sample layer width"]:
        """Class token after every block; large, so that several blocks are joined each time."""
        return _joined([block.layers for block in self.blocks])


def _joined(parts: Sequence[np.ndarray]) -> Tensor:
    """Give arrays as one tensor; a single one is mapped and not copied."""
    array = parts[0] if len(parts) == 1 else np.concatenate(parts)
    with warnings.catch_warnings():
        # An array of the object store is read-only, and so are facts by contract.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


@dataclass(frozen=True)
class StoredFacts:
    """Facts on disk; a field is read when it is first asked for."""

    store: "FeatureStore"
    key: FeatureKey

    @cached_property
    def features(self) -> Float[Tensor, "sample feature"]:
        """Final features, not normalised."""
        return self.store.field(self.key, "features")

    @cached_property
    def logits(self) -> Float[Tensor, "sample class"]:
        """Logits of the task's head."""
        return self.store.field(self.key, "logits")

    @cached_property
    def confidence(self) -> Float[Tensor, " sample"]:
        """Largest softmax probability."""
        return self.store.field(self.key, "confidence")

    @property
    def layers(self) -> Float[Tensor, "sample layer width"]:
        """Class token after every block; large, so it is read anew each time."""
        return self.store.field(self.key, "layers")


def feature_keys(
    tower: str,
    models: Mapping[str, str],
    heads: Mapping[str, str],
    images: Mapping[tuple[str, Role], str],
    others: Mapping[tuple[str, Role], Sequence[str]] | None = None,
) -> tuple[FeatureKey, ...]:
    """Give the facts that a study needs: each task's own model and the base, on all its images.

    Args:
        tower: digest of the tower's description.
        models: digest of each model's checkpoint, the base's under ``PRETRAINED``.
        heads: digest of each task's head.
        images: digest of each task's images per role.
        others: names of further models that look at images of a role of a task.
    """
    keys = []
    for (task, role), content in images.items():
        for model in dict.fromkeys((task, PRETRAINED, *(others or {}).get((task, role), ()))):
            key = FeatureKey(model, task, role, "")
            fields = ["without layers"] if key.crossed else []
            fields += [f"revision {REVISION}"] if REVISION > 1 else []  # 1 came before the field
            address = [tower, models[model], heads[task], content, "float32", *fields]
            keys.append(key._replace(digest=digest(address)))
    return tuple(keys)


def keys_by_name(keys: Iterable[FeatureKey]) -> dict[tuple[str, str, Role], FeatureKey]:
    """Give keys by model, task and role; a step of K tasks asks for K of them."""
    return {(key.model, key.task, key.role): key for key in keys}


class FeatureStore:
    """The disk tier: one safetensors file per key, whole or not at all.

    Args:
        root: folder on this machine's disk.
        shared: a place that other machines share; what it holds is fetched when it is first
            loaded, and what it lacks of what is saved or loaded is put there.
    """

    def __init__(self, root: Path, shared: Folder | None = None) -> None:
        self.root, self.shared = root, shared

    def path(self, key: FeatureKey) -> Path:
        """Give where the facts of ``key`` lie, or would lie."""
        return self.root / f"{key.digest}.safetensors"

    def __contains__(self, key: FeatureKey) -> bool:
        return self.path(key).exists() or self.path(key).name in self._there

    @cached_property
    def _there(self) -> set[str]:
        """Names in the shared place; it is listed once."""
        if self.shared is None:
            return set()
        listed = patiently(partial(self.shared.files, self.shared.root))
        return {path.rpartition("/")[2] for path in listed}

    def save(self, key: FeatureKey, blocks: Sequence[FeatureBlock]) -> None:
        """Do as ``write`` with blocks that are all there."""
        self.write(key, blocks, sum(len(block.features) for block in blocks))

    def write(self, key: FeatureKey, blocks: Iterable[FeatureBlock], samples: int) -> None:
        """Write the blocks of ``key`` as one, each as it comes.

        Args:
            key: whose facts they are.
            blocks: one after the other.
            samples: in all of them.

        Raises:
            DataError: the folder cannot be written.
            ResultsError: the shared place cannot be written.
        """
        with self._written(self.path(key)) as unfinished:
            _write(unfinished, iter(blocks), samples)
        self._share(self.path(key))

    def facts(self, key: FeatureKey) -> StoredFacts:
        """Give all facts of ``key``, of which only the header is read now.

        Raises:
            DataError: the file is damaged.
            ResultsError: the shared place cannot be read or written.
        """
        self._bring(self.path(key))
        with self._read(key) as file:
            for name in FeatureBlock._fields:
                file.get_slice(name)
        return StoredFacts(self, key)

    def field(self, key: FeatureKey, name: str, count: int | None = None) -> Tensor:
        """Give one field of facts that lie in the folder, of all samples or the first ``count``.

        Raises:
            DataError: the file is damaged.
        """
        with self._read(key) as file:
            tensor: Tensor = file.get_slice(name)[:count] if count else file.get_tensor(name)
        return tensor

    def load(self, key: FeatureKey) -> FeatureBlock:
        """Give all facts of ``key`` as one block.

        Raises:
            DataError: the file is damaged.
            ResultsError: the shared place cannot be read or written.
        """
        self._bring(self.path(key))
        with self._undamaged(key):
            return FeatureBlock(**safetensors.numpy.load_file(self.path(key)))

    @contextmanager
    def _read(self, key: FeatureKey) -> Iterator[Any]:
        with self._undamaged(key), safetensors.safe_open(self.path(key), framework="pt") as file:
            yield file

    @contextmanager
    def _undamaged(self, key: FeatureKey) -> Iterator[None]:
        try:
            yield
        except (safetensors.SafetensorError, OSError, TypeError) as error:
            too = f", and its copy in {self.shared.root}," if self.shared else ""
            raise DataError(
                f"{self.path(key)}: damaged ({error}); delete it{too} and run again"
            ) from error

    def _bring(self, path: Path) -> None:
        if path.exists():
            self._share(path)
        else:
            self._fetch(path)

    def _share(self, path: Path) -> None:
        if self.shared is None or path.name in self._there:
            return
        place = f"{self.shared.root}/{path.name}"
        patiently(partial(self.shared.write, place, path.read_bytes()))
        self._there.add(path.name)

    def _fetch(self, path: Path) -> None:
        if self.shared is None:
            return
        content = patiently(partial(self.shared.read, f"{self.shared.root}/{path.name}"))
        with self._written(path) as unfinished:
            unfinished.write_bytes(content)

    @contextmanager
    def _written(self, path: Path) -> Iterator[Path]:
        try:
            with whole_file(path) as unfinished:
                yield unfinished
        except (OSError, safetensors.SafetensorError) as error:
            raise DataError(
                f"{self.root}: cannot write the cache ({error}); set DISTMERGE_CACHE to a folder "
                "that can be written"
            ) from error


def _write(path: Path, blocks: Iterator[FeatureBlock], samples: int) -> None:
    """Write a safetensors file; the first block tells how large a sample's facts are."""
    first = next(blocks)
    shapes = {name: (samples, *part.shape[1:]) for name, part in first._asdict().items()}
    sized = {name: ("F32", shape, 4 * math.prod(shape)) for name, shape in shapes.items()}
    header = file_header(sized, {})
    with path.open("wb") as file:
        file.write(header.content)
        done = 0
        for block in chain([first], blocks):
            for name, part in block._asdict().items():
                file.seek(header.tensors[name].start + done * 4 * math.prod(part.shape[1:]))
                file.write(part.tobytes())
            done += len(block.features)
    assert done == samples, f"{done} samples of {samples}"
