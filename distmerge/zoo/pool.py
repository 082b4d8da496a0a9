"""Processes that build tasks side by side."""

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor

import torch


def process_pool(workers: int | None, num_tasks: int) -> ProcessPoolExecutor:
    """Give a pool of at most one process per task that share the cores evenly."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = cores or 1
    size = min(workers or cores, num_tasks)
    return ProcessPoolExecutor(
        size,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_prepare,
        initargs=(max(1, cores // size),),
    )


def stop_processes() -> None:
    """End the building processes at once; what they were writing is whole or absent."""
    for process in multiprocessing.active_children():
        process.terminate()


def _prepare(threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when its processes end
    torch.set_num_threads(threads)
