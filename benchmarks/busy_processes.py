"""Processes that want the processor for themselves, to measure beside them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class BusyProcesses:
    """So many endless loops, which stand still until they are asked for."""

    def __init__(self, count: int) -> None:
        loop = "while True:\n pass"
        self._processes = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(count)]
        self._signal(signal.SIGSTOP)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let them run for the length of a with-block."""
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def end(self) -> None:
        """End them."""
        for process in self._processes:
            process.kill()
            process.wait()

    def _signal(self, number: int) -> None:
        for process in self._processes:
            os.kill(process.pid, number)
