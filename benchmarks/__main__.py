"""Print every benchmark: ours, the limit, the ratio."""

import torch

from benchmarks import kernels, routed


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


if __name__ == "__main__":
    main()
