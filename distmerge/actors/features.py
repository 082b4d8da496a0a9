"""Stream features from the task actors into a bank whose references the driver owns."""

import time
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
from distmerge.actors.pool import LOOK_S, Member, Pool, answer
from distmerge.coordinator import BlockFacts, FeatureBlock, FeatureKey, FeatureLine, FeatureStore
from distmerge.errors import WorkerTimeoutError
from distmerge.spec import RayConfig

FeatureRefs: TypeAlias = dict[FeatureKey, list[Any]]


@dataclass
class _Stream:
    """One model's features on one role, arriving block by block."""

    key: FeatureKey
    actor: Any
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
    ``ray.in_flight`` blocks ahead. A lost actor is restarted and its stream replayed by Ray; if
    there is no room for it, others stream instead. Blocks are a function of their address, so no
    number changes.

    Raises:
        WorkerTimeoutError: no block arrived in ``ray.timeout_s``.
    """
    wanted = _distinct(keys)
    queue = _Queue(pool, sorted(wanted, key=_order(wanted)), config, block, report)
    refs: dict[str, list[Any]] = {}
    try:
        while queue.open_streams():
            FEATURES_WAITING.set(len(wanted) - len(refs))
            BYTES_IN_FLIGHT.set(sum(stream.num_bytes for stream in queue.active.values()))
            stream = queue.take_block()
            if stream is None:
                continue
            queue.open_streams()  # they compute while we write
            refs[stream.key.digest] = _kept(stream, store)
            report(FeatureLine.of(len(refs), len(wanted), stream.key))
    finally:
        FEATURES_WAITING.set(0)
        BYTES_IN_FLIGHT.set(0)
        for generator in queue.active:
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


def _order(keys: tuple[FeatureKey, ...]) -> Callable[[FeatureKey], int]:
    """Give the order by model: one that takes turns in a GPU's memory is loaded once."""
    models = list(dict.fromkeys(key.model for key in keys))
    return lambda key: models.index(key.model)


@dataclass
class _Queue:
    """What is still to be streamed, by the actors that are there."""

    pool: Pool
    waiting: list[FeatureKey]
    config: RayConfig
    block: int
    report: Callable[[str], None]
    active: dict[Any, _Stream] = field(default_factory=dict)

    def open_streams(self) -> bool:
        """Give every idle actor its next stream, those of lost ones to others; False: all done."""
        if self.pool.follow():
            self.report(self.pool.described)
        there = self.pool.members
        for generator, stream in [*self.active.items()]:
            if stream.actor not in [member.actor for member in there]:
                ray.cancel(generator)
                del self.active[generator]
                self.waiting.insert(0, stream.key)
        busy = {stream.actor for stream in self.active.values()}
        for member in there:
            if member.actor not in busy:
                self._open_next(member)
        return bool(self.active or self.waiting)

    def _open_next(self, member: Member) -> None:
        own = [key for key in self.waiting if key.model in member.models]
        if own:
            self.waiting.remove(own[0])
            method = member.actor.blocks.options(
                num_returns="streaming", _generator_backpressure_num_objects=self.config.in_flight
            )
            self.active[method.remote(own[0], self.block)] = _Stream(own[0], member.actor)

    def take_block(self) -> _Stream | None:
        """Wait for a block, or for the end of a stream; give the stream that has ended, if any.

        Raises:
            WorkerTimeoutError: neither came in ``ray.timeout_s``.
        """
        end = time.monotonic() + self.config.timeout_s
        generator = self._first_ready(end)
        stream = self.active[generator]
        try:
            ref = next(generator)
        except StopIteration:
            return self.active.pop(generator)
        while not ray.wait([ref], timeout=LOOK_S)[0]:  # it may be lost with its node
            self._look(end)
            if generator not in self.active:
                return None
        stream.refs.append(ref)
        stream.blocks.append(answer(ref, self.config.timeout_s, f"a block of {stream.key.model}"))
        return None

    def _first_ready(self, end: float) -> Any:
        while True:
            if self.active:
                found = ray.wait([*self.active], timeout=LOOK_S, fetch_local=False)[0]
                if found:
                    return found[0]
            else:
                time.sleep(LOOK_S)
            self._look(end)

    def _look(self, end: float) -> None:
        """Look at the cluster.

        Raises:
            WorkerTimeoutError: the time is over.
        """
        if time.monotonic() < end:
            self.open_streams()
            return
        missing = [*(stream.key for stream in self.active.values()), *self.waiting]
        models = ", ".join(f"{k.model} on {k.role} samples of {k.task}" for k in missing)
        raise WorkerTimeoutError(
            f"no features in {self.config.timeout_s:g} s (ray.timeout_s) of: {models}; "
            f"{self.pool.missing}free now: {ray.available_resources()}"
        )


def _kept(stream: _Stream, store: FeatureStore) -> list[Any]:
    """Store a stream that has ended; give its facts as one array per field, which trials map."""
    store.save(stream.key, stream.blocks)
    return stream.refs if len(stream.refs) == 1 else [ray.put(store.load(stream.key))]
