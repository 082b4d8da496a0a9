"""A sweep from a checked study to its leaderboard. Heavy imports happen once it runs."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console

from distmerge.spec import Study
from distmerge.sweep.environment import set_ray_environment

if TYPE_CHECKING:
    import pandas as pd

    from distmerge.results import RunStore
    from distmerge.sweep.finish import Best
    from distmerge.sweep.prepare import Prepared
    from distmerge.sweep.progress.desk import Desk


class SweepResult(NamedTuple):
    """What a sweep leaves."""

    leaderboard: "pd.DataFrame"
    best: "Best | None"
    failed: int
    """Runs that failed in this sweep."""
    place: str
    """Where the results dataset lies."""


def run_sweep(study: Study, console: Console, parent: str | None = None) -> SweepResult:
    """Do what a study asks for and is not in its results yet.

    Args:
        study: what to run.
        console: shows progress.
        parent: a study in the same storage; finished runs of it that ``study`` would repeat are
            taken over.

    Raises:
        CapacityError: the cluster is too small or does not answer.
        CheckpointError: a checkpoint or head does not fit.
        ConfigError: the study was run with other content, or ``parent`` has no rows.
        DataError: a task's images or labels do not fit.
        KeyboardInterrupt: Ctrl-C, or as ``Terminated`` SIGTERM; the state of runs is saved.
        ResultsError: the storage cannot be read or written, or another driver runs the study.
        WorkerTimeoutError: a worker does not answer in time.
        ZooError: the built-in zoo cannot be built.
    """
    set_ray_environment()
    from distmerge.methods import HYPERS
    from distmerge.results import RunStore
    from distmerge.sweep.changes import check_unchanged
    from distmerge.sweep.fork import check_parent
    from distmerge.sweep.progress.event_files import check_tensorboard
    from distmerge.sweep.progress.lease import refuse_second
    from distmerge.sweep.signals import terminable

    if study.tensorboard:
        check_tensorboard()
    store = RunStore(study.storage, HYPERS)
    store.check_writable()
    check_unchanged(store, study)
    refuse_second(store, study.study)
    if parent is not None:
        check_parent(store, parent)
    with terminable():
        return _sweep(study, console, parent, store)


def _sweep(study: Study, console: Console, parent: str | None, store: "RunStore") -> SweepResult:
    from distmerge.results import leaderboard
    from distmerge.sweep.changes import record_study
    from distmerge.sweep.finish import save_best
    from distmerge.sweep.prepare import prepare
    from distmerge.sweep.progress.desk import watched
    from distmerge.sweep.progress.lease import lease
    from distmerge.sweep.recorded import record_inputs
    from distmerge.sweep.search.current import current_rows

    prepared = prepare(study, partial(_report, console))
    with lease(store, study.study), watched(store, study) as desk:
        record_study(store, study, prepared.digests)
        record_inputs(prepared)
        if parent is not None:
            prepared = _forked(prepared, parent, console)
        failed = _run(prepared, console, desk) if prepared.search.remaining else 0
        rows = current_rows(store.records(study.study), study, prepared.digests)
        board = leaderboard(rows, study.study)
        return SweepResult(board, save_best(prepared, board), failed, store.place)


def _forked(prepared: "Prepared", parent: str, console: Console) -> "Prepared":
    """Take over a parent's runs; give the study with a search that knows them."""
    from distmerge.sweep.fork import take_over
    from distmerge.sweep.prepare import new_search

    store, study, digests = prepared.store, prepared.study, prepared.digests
    taken = take_over(store, parent, study, digests)
    _report(console, f"runs taken over from {parent}: {taken}")
    return replace(prepared, search=new_search(store, study, digests))


def _run(prepared: "Prepared", console: Console, desk: "Desk") -> int:
    from distmerge.sweep.progress.board import Board

    def report(line: str) -> None:
        _report(console, line)
        desk.report(line)

    if prepared.search.warm:
        report(f"warm start: the search learns from {prepared.search.warm} runs of earlier studies")
    board = Board(console, prepared.search.remaining)
    desk.plan(board)
    if prepared.study.ray is False:
        from distmerge.sweep.serial import sweep_here

        sweep_here(prepared, board, report)
    else:
        from distmerge.sweep.tuning import sweep_on_ray

        sweep_on_ray(prepared, board, report)
    return board.failed


def _report(console: Console, line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True)
