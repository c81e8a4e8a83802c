"""The folder of a page that runs, and those that killed pages have left."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deeprftv2_arch.common.locking import FileLock

PREFIX = "deeprftv2_demo_"
LOCK = ".lock"
BEING_MADE = 60.0  # seconds in which a folder may have no lock yet


@contextmanager
def own_folder() -> Iterator[Path]:
    """Make a folder for the images of a page, and remove it after the with-block; before, those of dead pages."""
    with suppress(OSError):
        remove_dead(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        lock = FileLock(Path(name, LOCK))
        try:
            yield Path(name)
        finally:
            lock.release()


def remove_dead(folder: Path) -> None:
    """Remove the folders of pages that run no more; of others, which may not be removed, nothing is said."""
    for path in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another user's
            if path.is_symlink() or not path.is_dir() or path.stat().st_mtime > time.time() - BEING_MADE:
                continue
            lock = FileLock(path / LOCK)  # BlockingIOError, which is one of these: its page runs
            try:
                shutil.rmtree(path, ignore_errors=True)
            finally:
                lock.release()
