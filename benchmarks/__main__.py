"""Print every benchmark: ours, the limit, the ratio."""

import torch

from benchmarks.kernels import measure


def main() -> None:
    """Run the benchmarks that exist."""
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'kernel':<12}{'ours':>10}{'bandwidth':>12}{'ratio':>8}")
    for result in measure():
        ours, limit = (f"{1e3 * s:.0f} ms" for s in (result.ours_s, result.limit_s))
        print(f"{result.name:<12}{ours:>10}{limit:>12}{result.ratio:>8.2f}")


if __name__ == "__main__":
    main()
