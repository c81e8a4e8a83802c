"""Files that one holder at a time has; the system lets go of them when the holder's process ends, however it ends."""

import errno
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

_PAUSE = 0.01  # seconds between two tries
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
        path: The file, which holds nothing.
        wait: Seconds to wait for another holder.

    Raises:
        BlockingIOError: Somebody else holds it.
        OSError: It cannot be made.
    """

    def __init__(self, path: Path, wait: float = 0.0) -> None:
        self.path = path
        deadline = time.monotonic() + wait
        while (descriptor := _try_to_hold(path)) is None:
            if time.monotonic() >= deadline:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(path))
            time.sleep(_PAUSE)
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go of the file and remove it; a second time does nothing."""
        if self._descriptor < 0:
            return
        # Removed while it is held: afterwards it might be somebody else's.
        with suppress(OSError):
            self.path.unlink()
        os.close(self._descriptor)
        self._descriptor = -1
        if sys.platform == "win32":  # which removes no open file, neither ours before nor somebody else's now
            with suppress(OSError):
                self.path.unlink()


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
