"""Processes that want the processor for themselves, to measure beside them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

LOOP = """\
import os
parent = os.getppid()
print("looping", flush=True)
while os.getppid() == parent:  # a benchmark that was killed leaves none of them
    for _ in range(100_000):
        pass
"""
SETTLING = 0.1  # seconds, until the system has found them a place and counts them as busy


class BusyProcesses:
    """So many endless loops, which stand still until they are asked for."""

    def __init__(self, count: int) -> None:
        words = [sys.executable, "-c", LOOP]
        self._processes = [subprocess.Popen(words, stdout=subprocess.PIPE) for _ in range(count)]
        for process in self._processes:
            if process.stdout is not None:
                process.stdout.readline()  # so that none is still starting
        self._signal(signal.SIGSTOP)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let them run for the length of a with-block."""
        self._signal(signal.SIGCONT)
        time.sleep(SETTLING)
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def end(self) -> None:
        """End them."""
        for process in self._processes:
            process.kill()
            process.communicate()

    def _signal(self, number: int) -> None:
        for process in self._processes:
            os.kill(process.pid, number)
