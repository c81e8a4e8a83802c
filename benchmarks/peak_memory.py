"""The most memory that a piece of work takes beyond what its inputs take."""

import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

import psutil
import torch

P = ParamSpec("P")
R = TypeVar("R")

STATUS = Path("/proc/self/status")  # of Linux


def peak_of_process(call: Callable[[], object]) -> int | None:
    """Return the growth of the process's resident memory to its highest mark during ``call``, in bytes.

    The mark is that of the whole life of the process: measure in a new one (:func:`in_new_process`). None where the
    system is not Linux.
    """
    if not STATUS.is_file():
        return None
    before = _memory("VmRSS")
    call()
    return _memory("VmHWM") - before


def peak_of_gpu(call: Callable[[], object], device: torch.device) -> int:
    """Return the growth of what PyTorch's allocator has given out to its highest mark during ``call``, in bytes."""
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    call()
    return torch.cuda.max_memory_allocated(device) - before


def in_new_process(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call ``function`` in a fresh process, which may take the memory that is free now and no more.

    Raises:
        MemoryError: That was not enough.
    """
    context = get_context("forkserver")  # which imports once, and forks before any thread is started
    context.set_forkserver_preload(["deeprftv2_arch"])
    with ProcessPoolExecutor(
        1, context, initializer=_limit_memory, initargs=(psutil.virtual_memory().available,)
    ) as pool:
        try:
            return pool.submit(function, *args, **kwargs).result()
        except BrokenProcessPool as error:  # the system has ended it
            raise MemoryError(str(error)) from error
        except RuntimeError as error:  # how PyTorch says it
            if "allocate memory" in str(error):
                raise MemoryError(str(error)) from error
            raise


def _memory(field: str) -> int:
    """Return a field of the process's status, in bytes."""
    for line in STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"{STATUS} has no {field}")


def _limit_memory(limit: int) -> None:
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
