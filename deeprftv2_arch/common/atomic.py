"""Files that appear whole or not at all.

    with written_whole(path) as temporary:      # path.with_name(".name.partial.suffix"), empty
        temporary.write_bytes(data)             # or anything else that writes to a path

What is written lies beside the target under a fixed, hidden name until it is whole and on the disk. A run that is
killed leaves it there, and the next one that writes the same target removes it. Two that write the same target at the
same time do so one after the other.
"""

import hashlib
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from deeprftv2_arch.common.locking import FileLock
from deeprftv2_arch.common.system_faults import FULL
from deeprftv2_arch.errors import WriteError

WAIT = 10.0  # seconds for another one that writes the same target
_LONGEST_NAME = 200  # bytes; file systems take 255, and the hidden names are a little longer than the target's
_DAY = 24 * 3600.0  # seconds
_LEFT_OVER = re.compile(r"\..+\.(partial(\.[^.]*)?|lock)")
_OF_VERSION_1 = re.compile(r"\..+\.[0-9a-f]{8}\.tmp|\.[0-9a-f]{16}\.partial(\.[^.]*)?")


def write_atomically(path: Path, data: bytes, advice: str | None = None) -> None:
    """Write a file that is there when it is complete; see :func:`written_whole`."""
    with written_whole(path, advice) as temporary:
        temporary.write_bytes(data)


@contextmanager
def written_whole(path: Path, advice: str | None = None) -> Iterator[Path]:
    """Give a with-block an empty file beside ``path``, and that name to it if the block succeeds.

    Args:
        path: The result; an earlier file of this name is replaced.
        advice: What to do, or what is saved all the same, if it cannot be written; by default what suits the reason.

    Yields:
        The file to write to, of the same suffix; it is removed if the block fails.

    Raises:
        WriteError: The folder is missing, not writable or full, or somebody else has been writing the file for long;
            also before the block. An earlier file of the name is still there.
    """
    target = path.absolute()
    temporary = _hidden(target, f".partial{target.suffix}")
    try:
        lock = FileLock(_hidden(target, f"{target.suffix}.lock"), WAIT)
    except BlockingIOError as error:
        reason = "another process is writing it"
        raise _write_error(path, reason, advice or "wait until it has ended") from error
    except OSError as error:
        raise _unwritable(path, error, advice) from error
    try:
        _remove_left_overs_of_version_1(target.parent)
        temporary.unlink(missing_ok=True)
        temporary.touch(exist_ok=False)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
        flush_folder(target.parent)
    except OSError as error:
        raise _unwritable(path, error, advice) from error
    finally:
        with suppress(OSError):  # there is none if all went well; else what went wrong before is what counts
            temporary.unlink()
        lock.release()


def flush_folder(folder: Path) -> None:
    """Put the names in a folder on the disk, where the system can do so for folders."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def is_left_over(name: str) -> bool:
    """Tell whether a file's name is one that unfinished files and their locks get here."""
    return _LEFT_OVER.fullmatch(name) is not None


def remove_left_overs(folder: Path) -> None:
    """Remove what killed runs have left unfinished in a folder, at any depth, into which nobody else is writing."""
    for path in folder.rglob(".*"):
        if is_left_over(path.name):
            with suppress(OSError):
                path.unlink()


def remove_left_overs_of(path: Path) -> None:
    """Remove what is left beside a file that is there of a run that was killed as soon as it had given it its name."""
    target = path.absolute()
    lock = _hidden(target, f"{target.suffix}.lock")
    if lock.exists():
        with suppress(OSError):  # somebody is writing it anew
            held = FileLock(lock)
            _hidden(target, f".partial{target.suffix}").unlink(missing_ok=True)
            held.release()


def _hidden(target: Path, ending: str) -> Path:
    """Return a hidden name beside the target, since BasicSR takes every visible file of a folder for an image."""
    stem = target.stem
    if len(os.fsencode(target.name)) > _LONGEST_NAME:
        stem = hashlib.sha256(os.fsencode(stem)).hexdigest()
    return target.with_name(f".{stem}{ending}")


def _unwritable(path: Path, error: OSError, advice: str | None) -> WriteError:
    suitable = "make room there" if error.errno in FULL else "check the folder"
    return _write_error(path, error.strerror or str(error), advice or f"{suitable}, nothing else was lost")


def _write_error(path: Path, reason: str, advice: str) -> WriteError:
    return WriteError(f"{path}: cannot be written: {reason}; {advice}", reason)


@cache
def _remove_left_overs_of_version_1(folder: Path) -> None:
    """Remove what killed runs of version 1 left under random names; once per process, since folders may be large."""
    yesterday = time.time() - _DAY  # what is younger may still be written
    with suppress(OSError), os.scandir(folder) as entries:  # whoever may write may not list, or others remove them too
        for entry in entries:
            if _OF_VERSION_1.fullmatch(entry.name) and entry.stat(follow_symlinks=False).st_mtime < yesterday:
                Path(entry).unlink()
