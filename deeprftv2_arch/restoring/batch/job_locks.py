"""What one process works on, others leave to it."""

import hashlib
import os
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from pathlib import Path

from deeprftv2_arch.common.atomic import remove_left_overs_of
from deeprftv2_arch.common.locking import FileLock
from deeprftv2_arch.restoring.batch.plan import Job

_DIGITS = 16  # of the names of locks


def job_locked(job: Job, out: Path, wait: float = 0.0) -> AbstractContextManager[object]:
    """Keep a job from other processes for the time of a with-block.

    Raises:
        BlockingIOError: One of them works on it.
    """
    name = os.fsencode(os.path.relpath(job.outputs()[0], out))
    digest = hashlib.sha256(name + f" {job.part}".encode() * (job.part.count > 1)).hexdigest()
    try:
        lock = FileLock(out / f".{digest[:_DIGITS]}.restoring.lock", wait)
    except BlockingIOError:
        raise
    except OSError:  # where no file can be made, writing the result will say so
        return nullcontext()
    stack = ExitStack()
    stack.callback(lock.release)
    return stack


def clean_up(job: Job, out: Path) -> None:
    """Remove what a process has left that died in a job, but for a film's blocks, with which the next one goes on."""
    with suppress(BlockingIOError), job_locked(job, out):  # unless another one has begun it anew
        for path in job.outputs():
            remove_left_overs_of(path)
