"""Folders that one process at a time writes."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deeprftv2_arch.common.locking import FileLock, note_of_holder
from deeprftv2_arch.errors import BusyError, WriteError


@contextmanager
def folder_locked(folder: Path) -> Iterator[None]:
    """Keep a folder from others who lock it, for the time of a with-block; it need not be there, its parent is made.

    The lock, ``.<name>.lock``, lies beside the folder, so that the folder can be renamed meanwhile. The system lets go
    of it when its holder is killed.

    Raises:
        BusyError: Somebody else has locked it; the message names the process and its machine.
        WriteError: The folder that it is to be in cannot be made or written to.
    """
    folder = folder.absolute()
    path = folder.with_name(f".{folder.name}.lock")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, note=f"process {os.getpid()} on {socket.gethostname()}")
    except BlockingIOError as error:
        holder = note_of_holder(path) or "another process"
        raise BusyError(f"{folder}: {holder} is writing there; wait until it has ended, or end it") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise WriteError(f"{folder}: cannot be made: {reason}; check {folder.parent}", reason) from error
    try:
        yield
    finally:
        lock.release()
