"""Processes that build tasks side by side."""

import multiprocessing
import os
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
        initializer=torch.set_num_threads,
        initargs=(max(1, cores // size),),
    )
