"""Cost as work grows: one small picture per axis, in docs/performance.

Every axis is measured in one run on towers of ViT's shape, smaller than B/32, beside the limit of
the same run: bytes of the bank at the memory's bandwidth, or matrix products at their rate. The
search is measured without trials to wait for.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from benchmarks import our_side
from benchmarks.clock import ROOT, median
from benchmarks.limits import bandwidth, matrix_rate, step_flops
from benchmarks.search import synthetic_score, synthetic_search
from benchmarks.step_world import World
from benchmarks.towers import VIT_B_32, random_bank
from distmerge.report.palette import COLOURS
from distmerge.spec import TowerConfig
from distmerge.taskvectors import TaskVectors, contract, merge

FOLDER = ROOT / "docs" / "performance"
TASKS = (1, 2, 4, 8, 16)
WIDTHS = (192, 384, 576, 768)
IMAGES = (1, 2, 4, 8, 16)
TRIALS = (10, 30, 100, 300, 1000)
_LOG = logging.getLogger("benchmarks.growth")


class Point(NamedTuple):
    """Seconds at one amount of work."""

    series: str
    amount: float
    seconds: float


class Axis(NamedTuple):
    """What grows, and how it is measured."""

    name: str
    label: str
    measure: Callable[[], Iterator[Point]]


def tower(width: int) -> TowerConfig:
    """Give a tower like ViT-B/32 of another width; heads of 64."""
    return VIT_B_32.model_copy(update={"width": width, "heads": width // 64})


def by_tasks(counts: tuple[int, ...] = TASKS, width: int = 384) -> Iterator[Point]:
    """Yield merge and contraction by the number of tasks."""
    bank = random_bank(tower(width), max(counts))
    for count in counts:
        part = TaskVectors(bank.tasks[:count], bank.layout, bank.base, bank.vectors[:count])
        yield from _kernels(part, count)


def by_parameters(widths: tuple[int, ...] = WIDTHS, num_tasks: int = 4) -> Iterator[Point]:
    """Yield merge and contraction by the number of parameters of one model."""
    for width in widths:
        bank = random_bank(tower(width), num_tasks)
        yield from _kernels(bank, bank.layout.num_parameters)


def by_images(
    counts: tuple[int, ...] = IMAGES, width: int = 384, num_tasks: int = 4
) -> Iterator[Point]:
    """Yield a step of AdaMerging by the number of images per task."""
    world = World(tower(width), num_tasks)
    rate = matrix_rate(world.dtype)
    for count in counts:
        time_s = median(lambda count=count: our_side.step(world, count), repeats=3)  # type: ignore[misc]  # its loop's
        yield Point("step", count, time_s)
        flops = step_flops(world.config, count * num_tasks)
        yield Point("limit: matrix products", count, flops / rate)


def by_trials(counts: tuple[int, ...] = TRIALS) -> Iterator[Point]:
    """Yield what a search and its bookkeeping cost, by trials, where the trials cost nothing."""
    search = synthetic_search(max(counts))
    start = time.perf_counter()
    for done in range(1, max(counts) + 1):
        suggestion = search.ask()
        assert suggestion is not None
        search.tell(suggestion, synthetic_score(suggestion.config.values()))
        if done in counts:
            yield Point("search", done, time.perf_counter() - start)


def _kernels(bank: TaskVectors, amount: float) -> Iterator[Point]:
    shape = (len(bank.tasks), len(bank.layout.segments))
    coefficients = torch.full(shape, 0.3, dtype=torch.float64)
    place = torch.empty_like(bank.base)  # as steps have it
    yield Point("merge", amount, median(lambda: merge(bank, coefficients, place)))
    yield Point("contract", amount, median(lambda: contract(bank, bank.base)))
    num_bytes = 4 * (shape[0] + 1) * bank.layout.num_parameters
    yield Point("limit: reading the bank", amount, num_bytes / bandwidth(1 << 28).best)


AXES = (
    Axis("tasks", "tasks K, 22 M parameters each", by_tasks),
    Axis("parameters", "parameters P of one model, K = 4", by_parameters),
    Axis("images", "images per task and step, K = 4, 22 M parameters", by_images),
    Axis("trials", "trials of a search, each of which costs nothing", by_trials),
)


def draw(axis: Axis, points: list[Point], folder: Path = FOLDER) -> Path:
    """Draw the points of an axis, both scales logarithmic; limits are dashed. Give the file.

    Raises:
        OSError: it cannot be written.
    """
    canvas = Figure(figsize=(4.5, 3.0), layout="constrained")
    axes = canvas.add_subplot()
    for number, series in enumerate(dict.fromkeys(point.series for point in points)):
        amounts, times = zip(*(p[1:] for p in points if p.series == series), strict=True)
        is_limit = series.startswith("limit")
        colour, line, mark = ("0.5", "--", "") if is_limit else (COLOURS[number], "-", "o")
        axes.plot(amounts, times, label=series, color=colour, ls=line, marker=mark, lw=1.4, ms=4)
    axes.set(xscale="log", yscale="log", xlabel=axis.label, ylabel="seconds")
    if len(amounts := sorted({point.amount for point in points})) <= 8:
        axes.set_xticks(amounts, [f"{x:g}" if x < 1e4 else f"{x / 1e6:.0f} M" for x in amounts])
        axes.minorticks_off()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(linewidth=0.4)
    axes.legend(fontsize=8, frameon=False)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{axis.name}.png"
    canvas.savefig(file, dpi=150)
    return file


def main() -> int:
    """Measure and draw every axis."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    for axis in AXES:
        points = []
        for point in axis.measure():
            _LOG.info("%s %g: %s %.3g s", axis.name, point.amount, point.series, point.seconds)
            points.append(point)
        _LOG.info("%s", draw(axis, points))
    return 0


if __name__ == "__main__":
    sys.exit(main())
