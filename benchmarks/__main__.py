"""Run benchmarks, print them as one table, and add their rows to ``results.parquet``."""

import logging
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.logging import RichHandler

from benchmarks import (
    adamerging_step,
    bfloat16,
    kernels,
    low_rank,
    peer_kernels,
    plan,
    routed,
    scaling,
    search,
    static_merge,
    streaming,
    sweep_throughput,
)
from benchmarks.rows import Row, append, this_machine
from benchmarks.smoke_vit_b32 import end_to_end
from benchmarks.table import table

BENCHMARKS: tuple[Callable[[], Iterator[Row]], ...] = (
    plan.start_up,
    kernels.merge_and_contract,
    adamerging_step.adamerging_step,
    bfloat16.precision,
    routed.routed_forward,
    low_rank.low_rank_forward,
    peer_kernels.ties_in_memory,
    peer_kernels.routing_in_memory,
    static_merge.files_to_file,
    search.search_pace,
    sweep_throughput.sweep_throughput,
    scaling.coordinator,
    streaming.features_in_flight,
    end_to_end,
)
_LOG = logging.getLogger("benchmarks")


def main(names: list[str]) -> int:
    """Run the benchmarks of these names, or all; give the exit code."""
    known = {benchmark.__name__: benchmark for benchmark in BENCHMARKS}
    if unknown := sorted(set(names) - known.keys()):
        print(f"got {', '.join(unknown)}, expected some of {', '.join(known)}", file=sys.stderr)
        return 2
    logging.basicConfig(
        format="%(message)s",
        datefmt="%H:%M:%S",
        handlers=[RichHandler(console=Console(stderr=True), show_path=False, show_level=False)],
    )
    _LOG.setLevel(logging.INFO)
    rows: list[Row] = []
    try:
        for name in names or known:
            _LOG.info("%s ...", name)
            machine = this_machine()
            for row in known[name]():
                append([row], machine)
                rows.append(row)
                _LOG.info("%s: %.3g s", row.name, row.ours_s)
    finally:  # what was measured is shown, also where a benchmark fails
        _show(rows)
    return 0


def _show(rows: list[Row]) -> None:
    console = Console()
    console.print(table(rows))
    for row in rows:
        if row.note:
            console.print(f"{row.name}: {row.note}", style="dim", highlight=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
