"""Files that one holder at a time has; the system lets go of them when the holder's process ends, however it ends."""

import errno
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

_PAUSE = 0.01  # seconds between two tries
_LONGEST_NOTE = 200  # bytes
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # what file systems say that have none

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                raise
        return True


class FileLock:
    """Hold a file until :meth:`release`, which removes it.

    A file that a killed process left behind is taken over. Threads of one process exclude each other, too. On a file
    system without locks nobody is excluded.

    Args:
        path: The file.
        wait: Seconds to wait for another holder.
        note: What the file says while it is held, for those who want to hold it; see :func:`note_of_holder`.

    Raises:
        BlockingIOError: Somebody else holds it.
        OSError: It cannot be made.
    """

    def __init__(self, path: Path, wait: float = 0.0, note: str = "") -> None:
        self.path = path
        self._descriptor = -1
        deadline = time.monotonic() + wait
        while (descriptor := _try_to_hold(path)) is None:
            if time.monotonic() >= deadline:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(path))
            time.sleep(_PAUSE)
        self._descriptor = descriptor
        _held.add(self)
        if note:
            os.ftruncate(descriptor, 0)  # what a killed holder has left
            os.write(descriptor, note.encode())

    def release(self) -> None:
        """Let go of the file and remove it; a second time does nothing."""
        if self._descriptor < 0:
            return
        # Removed while it is held: afterwards it might be somebody else's.
        with suppress(OSError):
            self.path.unlink()
        self._let_go()
        if sys.platform == "win32":  # which removes no open file, neither ours before nor somebody else's now
            with suppress(OSError):
                self.path.unlink()

    def _let_go(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1
        _held.discard(self)


_held: set[FileLock] = set()


def _leave_to_parent() -> None:
    """Close in a forked process what its parent holds, or the system would keep that from others for both."""
    for lock in tuple(_held):
        lock._let_go()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


def note_of_holder(path: Path) -> str:
    """Return what a lock file that somebody else holds says, cut to a line; nothing where it cannot be read."""
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST_NOTE).decode("utf-8", "replace")
    except OSError:
        return ""
    return "".join(character if character.isprintable() else " " for character in text).strip()


def _try_to_hold(path: Path) -> int | None:
    """Return a descriptor that holds the file, None if somebody else does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINKS, 0o666)
    try:
        # Who held it before may have removed it since it was opened here: then the name is free, or another file's.
        if _lock(descriptor) and os.path.samestat(os.fstat(descriptor), os.lstat(path)):
            return descriptor
    except FileNotFoundError:
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None
