"""Python functions on the very threads on which PyTorch's own operations run on a CPU.

These threads wait for the next operation in a busy loop, for milliseconds: threads beside them would have to share
processors with that. And an operation inside of such a function runs on its thread alone, so that several operations
in a row cost one handing over of work instead of one each.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from itertools import count as counted
from typing import Any

import torch

from deeprftv2_arch.common.stopping import signals_after

_Work = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@cache
def _parallel() -> Callable[..., Any] | None:
    """Return what runs a C function on every thread of a team, from the OpenMP runtime of PyTorch, if it is known.

    That is the one that the whole process sees, such as a preloaded one; else the one that PyTorch has brought along.
    """
    for library in (None, torch._C.__file__):
        try:
            parallel: Any = ctypes.CDLL(library).GOMP_parallel
        except (OSError, AttributeError, TypeError):  # the last on Windows, where there is no such view of a process
            continue
        parallel.argtypes = (_Work, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        parallel.restype = None
        return parallel  # type: ignore[no-any-return]
    return None


def team_size() -> int:
    """Return on how many threads :func:`run_in_team` works for the thread that asks.

    That is one where PyTorch uses one, or another runtime than OpenMP, and under autocast and whatever watches
    operations as they run (such as a counter of them or a profiler): both are known to the thread that has begun them
    alone.
    """
    watched = torch._C._len_torch_dispatch_stack() > 0 or torch._C._get_tracing_state() is not None
    watched = watched or torch._C._autograd._profiler_enabled()
    if watched or torch.is_autocast_enabled("cpu") or _parallel() is None:
        return 1
    return torch.get_num_threads()


def run_in_team(function: Callable[[int], None], count: int) -> None:
    """Call ``function`` with 0 to ``count`` - 1, on all threads of the team, without gradients.

    SIGINT and SIGTERM are handled after it: C would lose what a handler raises on the way into or out of ``function``.

    Raises:
        BaseException: What a call has raised first; calls that have not begun by then are left out.
    """
    parallel, threads = _parallel(), min(team_size(), count)
    inference = torch.is_inference_mode_enabled()
    numbers = counted()
    failures: list[BaseException] = []

    def work(_: object) -> None:
        try:
            with torch.inference_mode(inference), torch.no_grad():  # each thread has modes of its own
                for number in numbers:
                    if number >= count or failures:
                        break
                    function(number)
        except BaseException as failure:  # C cannot pass it on
            failures.append(failure)

    try:
        if parallel is None or threads == 1:
            work(None)
        else:
            with signals_after():
                parallel(_Work(work), None, threads, 0)
        if failures:
            raise failures[0]
    finally:
        failures.clear()  # a failure knows this frame, which would keep it, and all tensors on its way, in a circle
