"""Processes that restore, and the one that has started them, which survives them.

A process that works with a GPU, or decodes what strangers have encoded, can die in ways that no Python code catches: it
is killed for want of memory, or a library of its fails. So where several share the work, none of them does it itself:
it starts a process that does and tells of every file. If that dies, the file that it had begun is lost, and another one
goes on with the rest.

Signals from outside are held back from the working processes, which get them through their pipe alone: once, whoever
has sent them to whom. The end of the pipe, that is of the process that has started them, ends them as SIGTERM does.
"""

import _thread
import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any

from tqdm import tqdm

from deeprftv2_arch.common.plain_log import plain_logs
from deeprftv2_arch.common.stopping import Stopped, asked_to_stop, signals_held, signals_stop, signals_wait
from deeprftv2_arch.errors import DataError, DeepRFTv2Error
from deeprftv2_arch.restoring.batch.job_locks import clean_up
from deeprftv2_arch.restoring.batch.outcome import Outcome, Refusal, Tell, line_of, merged
from deeprftv2_arch.restoring.batch.plan import Job, Plan

PATIENCE = 0.5  # seconds after which a signal is seen
LAST_PATIENCE = 20.0  # seconds with a process that has closed its pipe, until it is killed

Work = Callable[[Plan, Tell], Outcome]


def supervise(works: Sequence[Work], plans: Sequence[Plan], are_others_left: bool) -> Outcome:
    """Restore in processes of their own, and return what became of all files, also of those on which a process died.

    Args:
        works: What each process calls, with its plan and a function to be told of every file; picklable.
        plans: What each of them is to restore.
        are_others_left: Whether other processes than these may still complete videos.

    Raises:
        DeepRFTv2Error: None of them could begin.
    """
    with signals_wait(), ExitStack() as stack:
        processes = [_Process(work, plan) for work, plan in zip(works, plans, strict=True)]
        running = [process for process in processes if not process.has_ended]
        for process in running:
            stack.callback(process.end)
            process.start()
        stopped_by = None
        while running:
            ready = wait([process.connection for process in running], PATIENCE)
            if stopped_by is None and (stopped_by := asked_to_stop()) is not None:
                for process in running:
                    process.stop(stopped_by)
            for process in running:
                if process.connection in ready:
                    process.listen(restart=stopped_by is None)
            running = [process for process in running if not process.has_ended]
        if stopped_by is not None:
            for process in processes:
                process.outcome.stop = Stopped(stopped_by)
        return merged([process.refusal or process.outcome for process in processes], are_others_left)


class _Process:
    """A process that restores, the next one if it dies, and so on.

    Attributes:
        connection: To the one that is there.
        has_ended: Whether there is none any more.
        outcome: What became of the files until now.
        refusal: Why it could not begin, if so.
    """

    def __init__(self, work: Work, plan: Plan) -> None:
        self._work = work
        self._plan = plan
        self._remaining = list(plan.jobs)
        self._in_work: Job | None = None
        self.has_ended = not plan.jobs
        self.outcome = Outcome(failures=list(plan.failures), left_out=list(plan.other_kinds))
        self.refusal: Refusal | None = None

    def start(self) -> None:
        """Start a process for what remains."""
        # Not forked, which CUDA does not survive.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        plan = Plan(self._plan.folder, self._remaining)
        self._process = context.Process(target=_restore, args=(self._work, plan, theirs))
        if sys.platform != "win32":
            resource_tracker.ensure_running()  # by the first process otherwise, which would get the signals thereby
        with signals_held():
            self._process.start()
        theirs.close()

    def stop(self, number: int) -> None:
        """Have it end as by a signal."""
        with suppress(OSError):  # it has ended
            self.connection.send(number)

    def end(self) -> None:
        """End it at once if it is still there."""
        if not self.has_ended:
            self.connection.close()
            self._process.kill()
            self._process.join(LAST_PATIENCE)

    def listen(self, restart: bool) -> None:
        """Take what it tells; if it has died, note what is lost, and start the next one if wanted."""
        try:
            told = self.connection.recv()
        except (EOFError, OSError):
            self._take_end(restart)
            return
        if isinstance(told, DeepRFTv2Error):
            self.refusal = Refusal(told, self._plan)
            self._remaining = []
        elif isinstance(told, Job):
            self._in_work = told
        else:
            job, outcome = told
            self.outcome.add(outcome)
            self._remaining.remove(job)
            self._in_work = None

    def _take_end(self, restart: bool) -> None:
        self.connection.close()
        self._process.join(LAST_PATIENCE)
        if self._process.exitcode is None:  # such as one that waits for a thread of a library
            self._process.kill()
            self._process.join(LAST_PATIENCE)
        self.has_ended = True
        code = -signal.SIGKILL if self._process.exitcode is None else self._process.exitcode
        if not restart:
            self.outcome.left += len(self._remaining)
        elif self._in_work is not None:
            self._lose(self._in_work, f"lost, since the process that restored it {_end(code)}")
            self._in_work = None
            if self._remaining:
                self.has_ended = False
                self.start()
        else:
            for job in list(self._remaining):
                self._lose(job, f"not restored, since its process {_end(code)}")

    def _lose(self, job: Job, why: str) -> None:
        self._remaining.remove(job)
        self.outcome.failures.append(
            line_of(job.source, DataError(f"{job.source}: {why}; the same command tries again"))
        )
        clean_up(job, self._plan.folder)


def _end(code: int) -> str:
    """Say how a process has ended."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:  # of a real-time signal
        name = f"signal {-code}"
    return f"was ended by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")


def _restore(work: Work, plan: Plan, connection: "Connection[Any, Any]") -> None:
    """Restore, in a process of its own."""

    def tell(job: Job, outcome: Outcome | None) -> None:
        connection.send(job if outcome is None else (job, outcome))

    tqdm.set_lock(threading.RLock())  # of this process alone, or the system would keep it when this one is killed
    # Without the one that has started this process there is nobody to tell.
    with suppress(KeyboardInterrupt, BrokenPipeError), signals_stop(), plain_logs():
        threading.Thread(target=_obey, args=(connection,), daemon=True).start()
        try:
            work(plan, tell)
        except DeepRFTv2Error as error:
            connection.send(error)


def _obey(connection: "Connection[Any, Any]") -> None:
    """End the work when the one that has started this process says so, or is not there any more."""
    try:
        number = connection.recv()
    except (EOFError, OSError):
        number = signal.SIGTERM
    _thread.interrupt_main(number)
