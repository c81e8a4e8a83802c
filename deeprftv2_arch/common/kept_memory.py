"""Freed memory that this process keeps for what it allocates next, rather than give it back to the system.

The feature maps of an image of a megapixel take some hundred megabytes each. glibc returns what is as large as that to
the system when it is freed, and the system hands out zeros for the next one, page by page, which takes as long as the
arithmetic of a network does. PyTorch keeps no memory of its own on a CPU.
"""

import ctypes
import os
import sys

GROWTH = 1.7  # of the peak, at most, as measured for networks of this package (docs/benchmarks.md)

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _NEVER = -1, -1
_M_MMAP_MAX, _NONE = -4, 0
# By which users choose how memory is allocated, or by what.
_CHOSEN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES", "LD_PRELOAD")

_is_kept = False


class _Allocated(ctypes.Structure):
    """``struct mallinfo2`` of glibc from 2.33 on."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


def keep_freed_memory() -> None:
    """Keep freed memory from now on, where the C library is such a glibc and the environment leaves the choice to it.

    The process then stays as large as it once was, and becomes larger than it would be, up to ``GROWTH`` times, since
    what is allocated does not always fit into what was freed. Large blocks of threads other than the main one still
    come and go.
    """
    global _is_kept
    if not sys.platform.startswith("linux") or any(os.environ.get(name) for name in _CHOSEN):
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt") and hasattr(library, "mallinfo2"):
        _is_kept = bool(library.mallopt(_M_TRIM_THRESHOLD, _NEVER) and library.mallopt(_M_MMAP_MAX, _NONE))


def growth_of_peak() -> float:
    """Return how many times as much memory as it needs at once this process may come to take."""
    return GROWTH if _is_kept else 1.0


def kept_bytes() -> int:
    """Return the bytes that this process keeps, which are free to it alone."""
    if not _is_kept:
        return 0
    ask = ctypes.CDLL(None).mallinfo2
    ask.restype = _Allocated
    return int(ask().fordblks)
