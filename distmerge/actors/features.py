"""Stream features from the task actors into a bank whose references the driver owns."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import ray

from distmerge.actors.metrics import (
    BYTES_IN_FLIGHT,
    CACHE_HITS,
    CACHE_MISSES,
    FEATURES_WAITING,
    count,
)
from distmerge.actors.pool import Member, Pool, answer
from distmerge.coordinator import BlockFacts, FeatureBlock, FeatureKey, FeatureLine, FeatureStore
from distmerge.errors import WorkerTimeoutError
from distmerge.spec import RayConfig

FeatureRefs: TypeAlias = dict[FeatureKey, list[Any]]


@dataclass
class _Stream:
    """One model's features on one role, arriving block by block."""

    key: FeatureKey
    member: Member
    refs: list[Any] = field(default_factory=list)
    blocks: list[FeatureBlock] = field(default_factory=list)

    @property
    def num_bytes(self) -> int:
        """Bytes of the blocks that are there."""
        return sum(array.nbytes for block in self.blocks for array in block)


def stored_features(keys: tuple[FeatureKey, ...], store: FeatureStore) -> FeatureRefs:
    """Give references to the facts that the store holds already, put by the driver."""
    wanted = _distinct(keys)
    put = {key.digest: [ray.put(store.load(key))] for key in wanted if key in store}
    count(CACHE_HITS, float(len(put)))
    count(CACHE_MISSES, float(len(wanted) - len(put)))
    return {key: put[key.digest] for key in keys if key.digest in put}


def streamed_features(
    pool: Pool,
    keys: tuple[FeatureKey, ...],
    store: FeatureStore,
    config: RayConfig,
    *,
    block: int,
    report: Callable[[str], None],
) -> FeatureRefs:
    """Give references to the facts of ``keys``, computed by the pool and kept in the store.

    Every actor streams its own models' features, one role at a time and at most
    ``ray.in_flight`` blocks ahead. A lost actor is restarted and its stream replayed by Ray;
    blocks are a function of their address, so no number changes.

    Raises:
        WorkerTimeoutError: no block arrived in ``ray.timeout_s``.
    """
    wanted = _distinct(keys)
    waiting = {member.models: _own(wanted, member) for member in pool.members}
    active: dict[Any, _Stream] = {}
    refs: dict[str, list[Any]] = {}
    try:
        for member in pool.members:
            _open_next(active, waiting, member, config, block)
        while active:
            FEATURES_WAITING.set(len(wanted) - len(refs))
            BYTES_IN_FLIGHT.set(sum(stream.num_bytes for stream in active.values()))
            generator = _next_ready(active, config.timeout_s)
            stream = active[generator]
            if _take(generator, stream, config.timeout_s):
                continue
            del active[generator]
            _open_next(active, waiting, stream.member, config, block)  # it computes while we write
            refs[stream.key.digest] = _kept(stream, store)
            report(FeatureLine.of(len(refs), len(wanted), stream.key))
    finally:
        FEATURES_WAITING.set(0)
        BYTES_IN_FLIGHT.set(0)
        for generator in active:
            ray.cancel(generator)  # dropping it would lift its backpressure instead
    return {key: refs[key.digest] for key in keys}


class FeatureBank(Mapping[FeatureKey, BlockFacts]):
    """The bank as a trial sees it: blocks are mapped from the object store when asked for."""

    def __init__(self, refs: FeatureRefs, timeout_s: float) -> None:
        self._refs, self._timeout_s = refs, timeout_s
        self._mapped: dict[FeatureKey, BlockFacts] = {}

    def __getitem__(self, key: FeatureKey) -> BlockFacts:
        if key not in self._mapped:
            what = f"features of {key.model} on {key.role} samples of {key.task}"
            blocks = [answer(ref, self._timeout_s, what) for ref in self._refs[key]]
            self._mapped[key] = BlockFacts(blocks)
        return self._mapped[key]

    def __iter__(self) -> Iterator[FeatureKey]:
        return iter(self._refs)

    def __len__(self) -> int:
        return len(self._refs)


def _distinct(keys: tuple[FeatureKey, ...]) -> tuple[FeatureKey, ...]:
    """Give one key of each content: transductive studies name the same images twice."""
    return tuple({key.digest: key for key in keys}.values())


def _own(keys: tuple[FeatureKey, ...], member: Member) -> list[FeatureKey]:
    return [key for key in keys if key.model in member.models]


def _open_next(
    active: dict[Any, _Stream],
    waiting: dict[tuple[str, ...], list[FeatureKey]],
    member: Member,
    config: RayConfig,
    block: int,
) -> None:
    if waiting[member.models]:
        key = waiting[member.models].pop(0)
        method = member.actor.blocks.options(
            num_returns="streaming", _generator_backpressure_num_objects=config.in_flight
        )
        active[method.remote(key, block)] = _Stream(key, member)


def _kept(stream: _Stream, store: FeatureStore) -> list[Any]:
    """Store a stream that has ended; give its facts as one array per field, which trials map."""
    store.save(stream.key, stream.blocks)
    return stream.refs if len(stream.refs) == 1 else [ray.put(store.load(stream.key))]


def _next_ready(active: dict[Any, _Stream], timeout_s: float) -> Any:
    ready, _ = ray.wait(list(active), num_returns=1, timeout=timeout_s, fetch_local=False)
    if not ready:
        missing = ", ".join(
            f"{stream.key.model} on {stream.key.role} samples of {stream.key.task}"
            for stream in active.values()
        )
        raise WorkerTimeoutError(
            f"no features in {timeout_s:g} s (ray.timeout_s) of: {missing}; "
            f"free now: {ray.available_resources()}"
        )
    return ready[0]


def _take(generator: Any, stream: _Stream, timeout_s: float) -> bool:
    """Move one block from the generator to the stream; False at the end of it."""
    try:
        ref = next(generator)
    except StopIteration:
        return False
    stream.refs.append(ref)
    stream.blocks.append(answer(ref, timeout_s, f"a block of {stream.key.model}"))
    return True
