"""Print every benchmark: ours, the limit, the ratio."""

import torch

from benchmarks import kernels, plan, routed, search, static_merge


def main() -> None:
    """Run the benchmarks that exist."""
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'kernel':<12}{'ours':>10}{'bandwidth':>12}{'ratio':>8}")
    for result in kernels.measure():
        ours, limit = (f"{1e3 * s:.0f} ms" for s in (result.ours_s, result.limit_s))
        print(f"{result.name:<12}{ours:>10}{limit:>12}{result.ratio:>8.2f}")
    found = routed.measure()
    print(
        f"{'forward':<12}{'ours':>10}{'per image':>12}{'ratio':>8}{'plain':>10}{'ours/plain':>12}"
    )
    times = [f"{1e3 * s:.0f} ms" for s in (found.batched_s, found.loop_s, found.plain_s)]
    print(f"{'routed':<12}{times[0]:>10}{times[1]:>12}{found.ratio:>8.2f}", end="")
    print(f"{times[2]:>10}{found.overhead:>12.2f}")
    print(f"{'command':<14}{'wall':>8}{'CPU':>10}{'target':>10}")
    for command in plan.measure():
        target = f"< {command.limit_s:g} s" if command.limit_s else ""
        print(f"{command.name:<14}{command.wall_s:>6.2f} s{command.cpu_s:>8.2f} s{target:>10}")
    _print_search()
    _print_static_merge()


def _print_static_merge() -> None:
    results, growth = static_merge.measure()
    print(f"{'files to file':<18}{'ours':>8}{'mergekit':>10}{'ratio':>8}{'bytes':>9}", end="")
    print(f"{'ours/bytes':>12}{'peak':>10}{'mergekit':>10}")
    for found in results:
        peer = f"{found.peer.wall_s:.2f} s" if found.peer else "none"
        peak = f"{found.peer.peak_bytes / 1e6:.0f} MB" if found.peer else ""
        limit = found.ours.wall_s / found.limit_s
        print(f"{found.name:<18}{found.ours.wall_s:>6.2f} s{peer:>10}{found.ratio:>8.1f}", end="")
        print(f"{found.limit_s:>7.2f} s{limit:>12.1f}", end="")
        print(f"{found.ours.peak_bytes / 1e6:>7.0f} MB{peak:>10}")
    peaks = ", ".join(f"{k}: {cost.peak_bytes / 1e6:.0f} MB" for k, cost in growth.items())
    print(f"peak of ties by number of models  {peaks}")


def _print_search() -> None:
    print(f"{'search':<12}{'trials':>8}{'per s':>10}{'memory':>12}{'snapshots':>12}")
    for name, looks in (("in process", search.measure()), ("Ray Tune", search.measure_tune())):
        for look in looks:
            memory = f"{look.memory_bytes / 1e6:.0f} MB"
            print(f"{name:<12}{look.trials:>8}{look.per_s:>10.1f}{memory:>12}", end="")
            print(f"{look.snapshot_s:>10.3f} s")
        first, last = looks
        pace, memory = last.per_s / first.per_s, f"{last.memory_bytes / first.memory_bytes:.2f}"
        print(f"{'ratio':<20}{pace:>10.2f}{memory:>12}")


if __name__ == "__main__":
    main()
