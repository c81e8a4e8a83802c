"""SIGTERM and Ctrl-C: they end a command at once, or, where it says so, at the next good moment.

Ctrl-C goes to every process of a terminal, SIGTERM is what Slurm, containers and ``timeout`` send. A signal is always
noted before it is raised: an exception that a signal handler raises is swallowed where Python calls back, as in the
hooks of a fork, and what works in steps looks for the note between them.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
REPEATED = 1.0  # seconds in which another signal is the same one: torchrun passes on what the terminal sent, too
WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Stopped(KeyboardInterrupt):
    """A signal asked this process to end.

    Attributes:
        number: Of the signal.
        note: What there is to say about what was done until then; may be empty.
        at_once: Whether it was raised wherever the process was, and not where it looked for a signal.
    """

    def __init__(self, number: int, note: str = "", at_once: bool = False) -> None:
        super().__init__(note)
        self.number = number
        self.note = note
        self.at_once = at_once

    @property
    def exit_code(self) -> int:
        """What shells report of a program that the signal ended."""
        return 128 + self.number

    def __str__(self) -> str:
        word = WORDS.get(signal.Signals(self.number), "stopped")
        return f"{word}: {self.note}" if self.note else word


class _Watch:
    """Notes signals, and raises :class:`Stopped` unless the first of them is to wait."""

    def __init__(self) -> None:
        self.noted: int | None = None
        self.since = 0.0
        self.is_waiting = False
        self.raised: int | None = None

    def take(self, number: int, frame: FrameType | None) -> None:
        is_first, age = self.noted is None, time.monotonic() - self.since
        if is_first:
            self.noted, self.since = number, time.monotonic()
        if self.is_waiting and (is_first or age < REPEATED):
            return
        self.raised = number
        raise Stopped(number, at_once=True)


_watch: _Watch | None = None


@contextmanager
def signals_stop() -> Iterator[None]:
    """Have SIGINT and SIGTERM raise :class:`Stopped` within a with-block; in the main thread, the only one that can.

    What else comes out of the block after that is a consequence: what was interrupted may not clean up after itself.
    """
    global _watch
    if threading.current_thread() is not threading.main_thread() or _watch is not None:
        yield
        return
    _watch = _Watch()
    before = {number: signal.signal(number, _watch.take) for number in SIGNALS}
    watch = _watch
    try:
        yield
    except Exception as error:
        if watch.raised is not None:
            raise Stopped(watch.raised, at_once=True) from error
        raise
    finally:
        _watch = None
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def signals_wait() -> Iterator[None]:
    """Only note a first signal within a with-block, for :func:`stop_if_asked`; a second one ends the block at once.

    Raises:
        Stopped: There was a signal before; or there is a second one in the block.
    """
    stop_if_asked()
    if _watch is None or _watch.is_waiting:
        yield
        return
    _watch.is_waiting = True
    try:
        yield
    finally:
        _watch.is_waiting = False


def let_children_end() -> None:
    """Take the end of a child process for no fault, as PyTorch does from the first worker of a loader on.

    To be called where a command has ended: Python ends workers that are left while it exits itself.
    """
    if hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def asked_to_stop() -> int | None:
    """Return the number of the signal that asked this process to end, if one has."""
    return None if _watch is None else _watch.noted


def stop_if_asked() -> None:
    """End here if a signal has asked for it.

    Raises:
        Stopped: One has.
    """
    number = asked_to_stop()
    if number is not None:
        raise Stopped(number)


def _leave_signals_to_parent() -> None:
    """In a forked worker: Ctrl-C is the parent's to handle, and SIGTERM, by which the parent ends it, ends it.

    Where the parent was killed, what a worker fails by, such as sending images to it, is no fault of its own.
    """
    global _watch
    if _watch is not None:
        _watch = None
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        parent, show = os.getppid(), sys.excepthook
        sys.excepthook = lambda *fault: show(*fault) if os.getppid() == parent else None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_signals_to_parent)


def let_parent_alone_end() -> None:
    """In a worker whose parent still needs it when all processes have got SIGTERM, as from Slurm and ``timeout``.

    To be called where a process has been started under :func:`signals_held`, and its signals are held still; where a
    system does not say who has sent a signal, it ends the worker.
    """
    if hasattr(signal, "sigwaitinfo"):
        threading.Thread(target=_end_for_parent, daemon=True).start()
    elif hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _end_for_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(128 + signal.SIGTERM)


@contextmanager
def signals_raised_after() -> Iterator[None]:
    """Raise a signal that comes within a with-block behind it: for what swallows the exception of a handler.

    Holding signals back is not enough: the system may give them to another thread, and Python runs the handler in the
    main one. Where signals wait already, they go on to do so.

    Raises:
        Stopped: A signal came.
    """
    watch = _watch
    if watch is None or watch.is_waiting or threading.current_thread() is not threading.main_thread():
        with signals_held():
            yield
        return
    watch.is_waiting = True
    try:
        yield
    finally:
        watch.is_waiting = False
    if watch.noted is not None:
        watch.raised = watch.noted
        raise Stopped(watch.noted, at_once=True)


@contextmanager
def signals_held() -> Iterator[None]:
    """Have the system hold both signals back within a with-block, and from all processes that are started in it.

    Those cannot say that a signal is not for them before they have read their program. All else is for
    :func:`signals_wait`.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before: Any = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
