"""Work that is shared out over processes, with a bounded number of tasks in memory."""

import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import cv2
import torch
from basicsr.utils import get_root_logger

from deeprftv2_arch.errors import EvaluationError

MOST_WORKERS = 16  # by default; each has a copy of PyTorch in memory
WAITING_PER_WORKER = 2

Task = TypeVar("Task")
Result = TypeVar("Result")
Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]


def default_workers(tasks: int) -> int:
    """Return a number of processes for so many tasks: this process's share of the CPUs, none for a single task."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cpus // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), MOST_WORKERS, tasks // 2)


@contextmanager
def worker_processes(number: int) -> Iterator[Map]:
    """Start processes that work side by side.

    Args:
        number: How many; with 0 everything happens in this process.

    Yields:
        ``map(function, tasks)``, which yields the results in the order of the tasks. Tasks are drawn while others are
        being worked on, but never more than twice as many as there are processes.

    Raises:
        EvaluationError: A process has died.
    """
    if number == 0:
        yield map
        return
    # Not forked: PyTorch may have started threads, and CUDA, which forked processes cannot use.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(number, mp_context=context, initializer=_prepare_worker)
    try:
        yield partial(_bounded_map, pool, WAITING_PER_WORKER * number)
    except BrokenProcessPool as error:
        raise EvaluationError(
            f"one of {number} processes that measure has died, perhaps for want of memory; choose fewer by --workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _bounded_map(
    pool: ProcessPoolExecutor, limit: int, function: Callable[[Task], Result], tasks: Iterable[Task]
) -> Iterator[Result]:
    waiting: deque[Future[Result]] = deque()
    for task in tasks:
        waiting.append(pool.submit(function, task))
        if len(waiting) == limit:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _prepare_worker() -> None:
    """Take one thread, leave interruptions to the process that started this one, and end when that ends."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    get_root_logger(log_level=logging.ERROR)  # failed alignments are counted, not logged
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
