"""Threads that share tasks with the thread that calls: they sleep while they wait, and start anew after a fork.

The threads serve all callers of the process. A caller works too, and waits in the end for those of its tasks that
others have begun, never for a thread to wake up: on a machine that is busy with something else it does all of them
itself. The tasks must let go of Python's lock, or nothing is gained.
"""

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue


def _nothing(index: int) -> None:
    pass


class _Job:
    """Calls of one function with 0, 1, 2, ..., each made once, by whichever thread asks first."""

    def __init__(self, function: Callable[[int], None], count: int) -> None:
        self._function = function
        self._count = count
        self._next = 0
        self._unfinished = count
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._finished = threading.Event()

    def work(self) -> None:
        """Make calls until all have been begun; after one that has failed, the rest is not made."""
        while True:
            with self._lock:
                index = self._next
                if index == self._count:
                    return
                self._next += 1
                failed = self._failure is not None
            try:
                if not failed:
                    self._function(index)
            except BaseException as failure:  # also an interruption: whoever waits must be told
                self._failure = failure
            with self._lock:
                self._unfinished -= 1
                if self._unfinished == 0:
                    self._finished.set()

    def wait(self) -> None:
        """Sleep until all calls have returned; raises what one of them has raised."""
        self._finished.wait()
        self._function = _nothing  # a thread that wakes up late must not keep alive what the tasks worked on
        if self._failure is not None:
            raise self._failure


_jobs: SimpleQueue[_Job] = SimpleQueue()
_threads: list[threading.Thread] = []
_starting = threading.Lock()


def _forget_threads() -> None:
    """Forget them in the child of a fork, where they do not exist and a lock may have been held by one of them."""
    global _jobs, _threads, _starting
    _jobs, _threads, _starting = SimpleQueue(), [], threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


def _serve(jobs: "SimpleQueue[_Job]") -> None:
    while True:
        jobs.get().work()


def run_tasks(function: Callable[[int], None], count: int, threads: int) -> None:
    """Call ``function`` with 0 to ``count`` - 1, on ``threads`` threads at most, this one included.

    With one thread or one task nothing but this thread is involved.

    Raises:
        BaseException: What a call has raised first.
    """
    helpers = min(threads, count) - 1
    if helpers < 1:
        for index in range(count):
            function(index)
        return
    job = _Job(function, count)
    with _starting:
        while len(_threads) < helpers:
            name = f"selective scan {len(_threads) + 1}"
            thread = threading.Thread(target=_serve, args=(_jobs,), name=name, daemon=True)
            thread.start()
            _threads.append(thread)
    for _ in range(helpers):
        _jobs.put(job)
    job.work()
    job.wait()
