"""How far feature streams run ahead of the driver, against the configured bound."""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from benchmarks.rows import Row
from benchmarks.scaling import local_cluster
from distmerge.coordinator import FeatureBlock, FeatureKey, FeatureStore
from distmerge.spec import RayConfig

_SLOW_S = 0.2  # to write the features of one key
_WIDTH = 512
_LAYERS = 12


class _Times(NamedTuple):
    made: list[float]
    taken: list[float]

    @property
    def ahead(self) -> int:
        """The most blocks that were made and not taken at a time."""
        events = sorted([(t, 1) for t in self.made] + [(t, -1) for t in self.taken])
        return int(np.max(np.cumsum([change for _, change in events])))


def features_in_flight(
    actors: int = 2, in_flight: int = 2, keys: int = 3, blocks: int = 12, block: int = 128
) -> Iterator[Row]:
    """Yield the bytes that actors hold made and not taken, at most, while the driver is slow.

    The stream is the real one, ``streamed_features``; the actors are stand-ins that make blocks of
    a ViT-B/32's size at once, and the driver's store takes its time. Actors and driver note when a
    block is made and when it is taken, by the clock of the machine.

    Raises:
        AssertionError: more blocks are ahead than ``ray.in_flight`` per actor and the one that the
            driver unpacks.
    """
    with local_cluster(1, actors) as ray, tempfile.TemporaryDirectory() as place:
        config, folder = RayConfig(in_flight=in_flight, timeout_s=60.0), Path(place)
        names = [f"task{number}" for number in range(actors)]
        remote = ray.remote(_Maker).options(num_cpus=1)
        made = {name: remote.remote(folder, blocks) for name in names}
        start = time.perf_counter()
        _stream(made, _SlowStore(folder / "features"), config, keys, block)
        wall_s = time.perf_counter() - start
        times = _Times(_noted(folder, "made"), _noted(folder, "taken"))
        size, bound = 4 * block * (_LAYERS + 1) * _WIDTH, actors * in_flight + 1
        assert len(times.made) == len(times.taken) == actors * keys * blocks
        assert times.ahead <= bound, (times.ahead, bound)
        yield Row(
            f"features of {actors} actors in flight",
            wall_s,
            ours_peak_bytes=times.ahead * size,
            note=f"{times.ahead} blocks ahead at most of {bound} allowed, {size / 1e6:.1f} MB each",
        )


def _stream(
    made: dict[str, Any], store: FeatureStore, config: RayConfig, keys: int, block: int
) -> None:
    from distmerge.actors import Member, measure_study, streamed_features

    measure_study("streaming")

    members = tuple(Member(actor, (name,)) for name, actor in made.items())
    asked = tuple(
        FeatureKey(name, f"t{i}", "report", f"{name} {i}") for i in range(keys) for name in made
    )
    pool: Any = SimpleNamespace(members=members, follow=lambda: False, missing="")
    streamed_features(pool, asked, store, config, block=block, report=lambda _: None)


class _SlowStore(FeatureStore):
    def save(self, key: FeatureKey, blocks: Sequence[FeatureBlock]) -> None:
        time.sleep(_SLOW_S)
        super().save(key, blocks)


class _Maker:
    """Makes features without a model."""

    def __init__(self, folder: Path, blocks: int) -> None:
        self._folder, self._blocks = folder, blocks

    def blocks(self, _key: FeatureKey, block: int) -> Iterator[Any]:
        """Yield blocks of zeros that note when they are unpacked."""
        shapes = ((block, _LAYERS, _WIDTH), (block, _WIDTH), (block, 10), (block,))
        for _ in range(self._blocks):
            arrays = [np.zeros(shape, np.float32) for shape in shapes]
            _note(self._folder, "made")
            yield _Noted(self._folder, arrays)


class _Noted:
    """A block on its way; it arrives as a ``FeatureBlock``."""

    def __init__(self, folder: Path, arrays: list[np.ndarray]) -> None:
        self._folder, self._arrays = folder, arrays

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self._folder, self._arrays)


def _arrived(folder: Path, arrays: list[np.ndarray]) -> FeatureBlock:
    _note(folder, "taken")
    return FeatureBlock(*arrays)


def _note(folder: Path, what: str) -> None:
    with (folder / f"{what}-{os.getpid()}").open("a") as file:
        file.write(f"{time.monotonic()}\n")


def _noted(folder: Path, what: str) -> list[float]:
    files = folder.glob(f"{what}-*")
    return [float(line) for file in files for line in file.read_text().split()]
