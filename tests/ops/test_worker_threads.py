"""Threads that share tasks: how many there are, that they sleep, and forks, failures and several callers at once."""

import os
import threading
import time
import weakref

import pytest

from deeprftv2_arch.ops.scan import worker_threads
from deeprftv2_arch.ops.scan.worker_threads import run_tasks

PATIENCE = 30.0  # seconds, on a machine that is busy with other tests


def threads_of(count: int, threads: int) -> list[str]:
    """Names of the threads that did each of the tasks, as many different ones as there can be."""
    done = [""] * count
    everyone = threading.Barrier(min(count, threads))

    def task(index: int) -> None:
        done[index] = threading.current_thread().name
        if index < everyone.parties:
            everyone.wait(PATIENCE)

    run_tasks(task, count, threads)
    return done


@pytest.mark.parametrize(("count", "threads"), [(0, 4), (1, 4), (5, 1)])
def test_one_thread_or_task_stays_where_it_is(count: int, threads: int) -> None:
    here = threading.current_thread().name
    assert threads_of(count, threads) == [here] * count


@pytest.mark.parametrize("threads", [2, 4, 3])
def test_as_many_threads_as_are_allowed_each_time(threads: int) -> None:
    names = threads_of(9, threads)
    assert all(names)
    assert len(set(names)) <= threads
    assert len(set(names[:threads])) == threads


@pytest.mark.parametrize("count", [2, 1000])
def test_every_task_is_done_once(count: int) -> None:
    calls: list[int] = []
    run_tasks(calls.append, count, 4)
    assert sorted(calls) == list(range(count))


def test_threads_sleep_between_jobs_and_while_they_wait() -> None:
    threads_of(2, 2)
    before = time.process_time()
    time.sleep(0.3)
    run_tasks(lambda index: time.sleep(0.3 * index), 2, 2)  # one waits for the other
    assert time.process_time() - before < 0.1


def test_a_thread_that_does_not_wake_up_is_not_waited_for() -> None:
    worker_threads._forget_threads()  # so that there is one alone
    busy, done = threading.Event(), threading.Event()

    def occupy(index: int) -> None:
        busy.set()
        done.wait(PATIENCE)

    occupied = threading.Thread(target=run_tasks, args=(occupy, 2, 2))
    occupied.start()
    busy.wait(PATIENCE)
    calls: list[int] = []
    run_tasks(calls.append, 5, 2)
    assert sorted(calls) == list(range(5))
    done.set()
    occupied.join(PATIENCE)
    assert not occupied.is_alive()


def test_a_failure_reaches_the_caller_and_leaves_the_threads_usable() -> None:
    class Interruption(BaseException):
        pass

    def fail(index: int) -> None:
        if index == 3:
            raise Interruption("third")

    for _ in range(3):
        with pytest.raises(Interruption, match="third"):
            run_tasks(fail, 8, 3)
    assert len(set(threads_of(3, 3))) == 3


def test_what_the_tasks_work_on_is_not_kept_alive() -> None:
    class Work:
        pass

    work = Work()
    ended = threading.Event()
    weakref.finalize(work, ended.set)
    run_tasks(lambda index, work=work: None, 4, 3)  # type: ignore[misc]
    del work
    assert ended.wait(PATIENCE)


def test_several_python_threads_at_once() -> None:
    sums = [0] * 8

    def products(number: int) -> list[int]:
        found = [0] * 6

        def multiply(index: int) -> None:
            found[index] = index * number

        run_tasks(multiply, 6, 3)
        return found

    def call(number: int) -> None:
        for _ in range(50):
            sums[number] += sum(products(number))

    callers = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(PATIENCE)
    assert sums == [50 * 15 * number for number in range(8)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_starts_threads_of_its_own() -> None:
    threads_of(3, 3)
    child = os.fork()
    if child == 0:
        os._exit(0 if len(set(threads_of(3, 3))) == 3 else 1)
    deadline = time.monotonic() + PATIENCE
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, 9)
            os.waitpid(child, 0)
            pytest.fail("the child hangs")
        time.sleep(0.01)
    assert ended == (child, 0)
