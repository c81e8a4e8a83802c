"""Work in processes of its own, forked from one that has imported everything.

So a try takes the time of its work and not the seconds of PyTorch's import; what a program does before its ``main`` is
not tried.
"""

import atexit
import multiprocessing.util
import os
import re
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import datasets_prep.__main__
from datasets_prep.command_line import main as prepare
from deeprftv2_arch.commands.main import main

LONGEST = 120  # seconds of a try
MOST_MEMORY = 2 * 2**20  # KiB resident
FAULTS = ("Traceback", "Exception ignored", "Logging error", "terminate called", "Fatal Python error")
# What Python's own start of a worker writes where the parent was killed before it had said what the worker is to do;
# nothing of this project runs in it yet.
ORPHANED_AT_START = re.compile(
    r"""Traceback .*\n  File "<string>", line 1, in <module>\n"""
    r"""(?:  File "[^"]*multiprocessing/spawn\.py", .*\n(?:    .*\n)+)+EOFError: Ran out of input\n"""
)
SHOWN = 3000  # characters of what a process that went wrong has written


@dataclass(frozen=True)
class Ended:
    """How a process has ended.

    Attributes:
        pid: What its number was, and that of its group, in which others may be left.
        code: Its exit code, or the negative number of the signal that ended it.
        output: What it wrote.
        memory: The most KiB that were resident.
        seconds: How long it took, from its ``main`` on.
        is_stopped: Whether it was still running when the signal was sent.
        is_hung: Whether it had to be ended.
    """

    pid: int
    code: int
    output: str
    memory: int
    seconds: float
    is_stopped: bool
    is_hung: bool

    def fault(self, *codes: int) -> str | None:
        """Say what is wrong with such an end, if anything is; right are these codes."""
        if self.is_hung:
            return "hang"
        if self.memory > MOST_MEMORY:
            return "more than 2 GB"
        if self.code < 0 and self.code not in codes:
            return f"death by signal {-self.code}"
        output = ORPHANED_AT_START.sub("", self.output) if self.code == -signal.SIGKILL else self.output
        found = next((words for words in FAULTS if words in output), None)
        if found is None and self.code not in codes:
            found = f"exit code {self.code}"
        return found and f"{found}\n{self.output[-SHOWN:]}"


@dataclass(frozen=True)
class Stop:
    """A signal that is sent to a process.

    Attributes:
        seconds: After how many from its beginning.
        number: Of the signal.
        is_for_all: Whether all that the process has started get it too, as from a terminal, Slurm and ``timeout``.
    """

    seconds: float
    number: int
    is_for_all: bool


def run(work: Callable[[], int], log: Path, stop: Stop | None = None) -> Ended:
    """Do some work in a process of its own, whose exit code it returns.

    Args:
        work: The work.
        log: Gets what the process writes.
        stop: The signal that it gets, if any.
    """
    begun, begins = os.pipe()
    child = os.fork()
    if child == 0:
        _work_and_exit(work, log, begins)
    os.close(begins)
    os.read(begun, 1)
    os.close(begun)
    start, descriptor = time.monotonic(), os.pidfd_open(child)
    is_stopped = False
    if stop is not None and not select.select([descriptor], [], [], stop.seconds)[0]:
        (os.killpg if stop.is_for_all else os.kill)(child, stop.number)
        is_stopped = True
    is_hung = not select.select([descriptor], [], [], LONGEST)[0]
    if is_hung:
        os.killpg(child, signal.SIGKILL)
    os.close(descriptor)
    _, status, usage = os.wait4(child, 0)
    seconds = time.monotonic() - start
    output = log.read_text(encoding="utf-8", errors="replace")
    return Ended(child, os.waitstatus_to_exitcode(status), output, usage.ru_maxrss, seconds, is_stopped, is_hung)


def run_command(words: list[str], folder: Path, stop: Stop | None = None) -> Ended:
    """Run a command in a folder; words that begin with ``prep`` are those of ``python -m datasets_prep``."""

    def command() -> int:
        os.chdir(folder)
        if words[0] == "prep":
            sys.modules["__main__"] = datasets_prep.__main__  # its worker processes import what is called so
            return prepare(words[1:])
        sys.argv = ["deeprftv2", *words]
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return run(command, folder.with_name(f"{folder.name}.log"), stop)


def end_left_overs(ended: list[Ended]) -> None:
    """End loader workers and the like that killed processes have left."""
    for one in ended:
        with suppress(ProcessLookupError):
            os.killpg(one.pid, signal.SIGKILL)


def _work_and_exit(work: Callable[[], int], log: Path, begins: int) -> NoReturn:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):  # until main has handlers of its own, and again when it has ended
        signal.signal(number, lambda number, _: os._exit(128 + number))
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.write(begins, b".")
    os.close(begins)
    code = 1
    try:
        code = work()
        # As at the end of a program.
        multiprocessing.util._exit_function()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        code = 1
        traceback.print_exc()
    finally:
        os._exit(code)
