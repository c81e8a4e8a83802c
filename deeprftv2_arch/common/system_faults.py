"""What the system refuses, such as room on a full disk, where nothing closer says it: logs, folders, the terminal."""

import errno
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE)


def is_full_disk(error: object) -> bool:
    """Tell whether an error says that a disk is full."""
    return isinstance(error, OSError) and error.errno in FULL


def system_fault(error: OSError) -> str | None:
    """Return what there is to say of an error that is no fault of this program; None for any other one."""
    if error.errno not in FULL + REFUSED:
        return None
    place = error.filename2 or error.filename or "a file"  # of a copy, the new file
    advice = "make room there" if error.errno in FULL else "check who may use it, and its disk"
    return f"{place}: {error.strerror}; {advice}, what was written whole before is kept"


@contextmanager
def full_disks_said_once(say: Callable[[str], None]) -> Iterator[None]:
    """Say in one line, and once, within a with-block that lines of logs are lost to a full disk, or a thread ended.

    Python shows a traceback for every line that a log cannot take, and one for TensorBoard's thread.

    Args:
        say: Gets the line.
    """
    said = False
    handle, end_thread = logging.Handler.handleError, threading.excepthook

    def is_said(error: object) -> bool:
        nonlocal said
        if is_full_disk(error) and not said:
            said = True
            say("the disk is full: the log has gaps from here on; make room there")
        return is_full_disk(error)

    def handle_error(self: logging.Handler, record: logging.LogRecord) -> None:
        if not is_said(sys.exc_info()[1]):
            handle(self, record)

    def thread_ended(what: Any) -> None:
        if not is_said(what.exc_value):
            end_thread(what)

    logging.Handler.handleError = handle_error  # type: ignore[method-assign]
    threading.excepthook = thread_ended
    try:
        yield
    finally:
        logging.Handler.handleError = handle  # type: ignore[method-assign]
        threading.excepthook = end_thread
