"""A measurement as a row: ours, the peer, the physical limit, and the machine it was taken on."""

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from distmerge.files import whole_file

RESULTS = Path(__file__).with_name("results.parquet")
_INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")


@dataclass(frozen=True)
class Row:
    """One measurement. A peer's time is None where it has not been measured."""

    name: str
    ours_s: float
    peer: str | None = None
    peer_s: float | None = None
    limit_s: float | None = None
    """What cannot be undercut, measured in the same run; for a command, the seconds asked."""
    target: float | None = None
    """Asked of ``ratio``, at least; without a peer, of ``limit_ratio``, at most."""
    ours_peak_bytes: int | None = None
    peer_peak_bytes: int | None = None
    note: str | None = None

    @property
    def ratio(self) -> float | None:
        """How many times our time the peer needs."""
        return None if self.peer_s is None else self.peer_s / self.ours_s

    @property
    def limit_ratio(self) -> float | None:
        """How many times the limit we need."""
        return None if self.limit_s is None else self.ours_s / self.limit_s

    @property
    def met(self) -> bool | None:
        """Whether the target is reached, or None where there is none or nothing to compare."""
        if self.target is None:
            return None
        if self.peer is not None:
            return None if self.ratio is None else self.ratio >= self.target
        return None if self.limit_ratio is None else self.limit_ratio <= self.target


class Machine(NamedTuple):
    """What a row was measured on, and when."""

    cpu: str
    cores: int
    memory_bytes: int
    instruction_set: str
    torch_version: str
    threads: int
    load_average: float
    """Of the last minute, before the measurement: what else kept the machine busy."""
    git_commit: str | None
    started_at: datetime


_SCHEMA = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("ours_s", pa.float64(), nullable=False),
        ("peer", pa.string()),
        ("peer_s", pa.float64()),
        ("ratio", pa.float64()),
        ("limit_s", pa.float64()),
        ("limit_ratio", pa.float64()),
        ("target", pa.float64()),
        ("ours_peak_bytes", pa.int64()),
        ("peer_peak_bytes", pa.int64()),
        ("note", pa.string()),
        ("cpu", pa.string()),
        ("cores", pa.int64()),
        ("memory_bytes", pa.int64()),
        ("instruction_set", pa.string()),
        ("torch_version", pa.string()),
        ("threads", pa.int64()),
        ("load_average", pa.float64()),
        ("git_commit", pa.string()),
        ("started_at", pa.timestamp("us", tz="UTC")),
    ]
)


def this_machine() -> Machine:
    """Give the facts of this machine now."""
    model, flags = _processor()
    return Machine(
        cpu=model,
        cores=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        instruction_set=", ".join(name for name in _INSTRUCTIONS if name in flags),
        torch_version=torch.__version__,
        threads=torch.get_num_threads(),
        load_average=os.getloadavg()[0],
        git_commit=_git_commit(),
        started_at=datetime.now(UTC),
    )


def append(rows: Sequence[Row], machine: Machine, path: Path = RESULTS) -> None:
    """Add rows to a Parquet file: it is read, added to, written beside itself and renamed.

    Raises:
        OSError: the file cannot be read or written.
        pyarrow.ArrowInvalid: the file is not Parquet, or has other columns.
    """
    columns = [
        {name: getattr(row, name, None) for name in _SCHEMA.names} | machine._asdict()
        for row in rows
    ]
    table = pa.Table.from_pylist(columns, schema=_SCHEMA)
    if path.exists():
        table = pa.concat_tables([pq.read_table(path), table])
    with whole_file(path) as unfinished:
        pq.write_table(table, unfinished)


def latest(path: Path = RESULTS) -> list[tuple[Row, Machine]]:
    """Give the newest row of every name, in the order in which they were measured.

    Raises:
        OSError: the file cannot be read.
    """
    found = {record["name"]: record for record in pq.read_table(path).to_pylist()}
    newest = sorted(found.values(), key=lambda record: record["started_at"])
    measured = [field.name for field in fields(Row)]
    return [
        (
            Row(**{name: record[name] for name in measured}),
            Machine(**{name: record[name] for name in Machine._fields}),
        )
        for record in newest
    ]


def _processor() -> tuple[str, set[str]]:
    """Give the processor's name and its features; Linux alone lists the latter."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    pairs = (line.partition(":") for line in lines)
    facts = {key.strip(): value.strip() for key, _, value in pairs}
    features = facts.get("flags", facts.get("Features", ""))
    return facts.get("model name", platform.processor()), set(features.split())


def _git_commit() -> str | None:
    """Give the commit of the checkout, with a plus sign where files differ from it."""
    answer = subprocess.run(  # noqa: S603  # fixed arguments
        ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    return answer.stdout.strip() or None
