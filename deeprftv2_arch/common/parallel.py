"""A map over worker processes that keeps the order and never runs far ahead of its consumer."""

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

from deeprftv2_arch.common.stopping import let_parent_alone_end, signals_held, signals_wait, stop_if_asked
from deeprftv2_arch.errors import PreparationError

Item = TypeVar("Item")
Result = TypeVar("Result")
Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]


def map_in_order(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """Yield function(item) for each item, in order; with one worker, in this process.

    Args:
        function: Picklable, like the items and the results.
        items: What to work on.
        workers: Number of processes. At most a few results per worker wait to be consumed, so that memory stays small
            where the consumer is the slower one.

    Raises:
        PreparationError: A worker process was killed.
    """
    died = PreparationError(
        "a worker process was killed, perhaps for want of memory: run the same again with fewer --workers"
    )
    with worker_processes(0 if workers == 1 else workers, ahead=4, died=died) as map_:
        yield from map_(function, items)


@contextmanager
def worker_processes(
    number: int, ahead: int, died: Exception, prepare: Callable[[], None] | None = None
) -> Iterator[Map]:
    """Start processes that work side by side, and end them after the with-block.

    Args:
        number: How many; with 0 everything happens in this process.
        ahead: How many items per process are drawn before the first of their results is consumed.
        died: What to raise if a process dies.
        prepare: What each process does first; picklable.

    Yields:
        ``map(function, items)``, which yields function(item) for each item, in order.
    """
    if number == 0:
        yield map
        return
    # Not forked: libraries may have started threads, and CUDA, which forked processes cannot use.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(number, mp_context=context, initializer=_start_worker, initargs=(prepare,))
    try:
        yield partial(_bounded_map, pool, ahead * number)
    except BrokenProcessPool as error:
        stop_if_asked()  # which Slurm asks all processes of
        raise died from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _bounded_map(
    pool: ProcessPoolExecutor, limit: int, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    waiting: deque[Future[Result]] = deque()
    for item in items:
        with signals_wait(), signals_held():  # it may start a process, which is not to be left half done
            waiting.append(pool.submit(function, item))
        stop_if_asked()
        if len(waiting) == limit:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _start_worker(prepare: Callable[[], None] | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    let_parent_alone_end()
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if prepare is not None:
        prepare()


def _end_with_parent() -> None:
    """End this process when the parent was killed and can no longer say so."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
