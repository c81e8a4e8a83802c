"""Freed memory that this process keeps for what it allocates next, rather than give it back to the system.

The feature maps of an image of a megapixel take some hundred megabytes each. glibc returns what is as large as that to
the system when it is freed, and the system hands out zeros for the next one, page by page, which takes as long as the
arithmetic of a network does. PyTorch keeps no memory of its own on a CPU.
"""

import ctypes
import os
import sys

GROWTH = 1.7  # of a process's peak, the most that was measured, with large tiles (docs/benchmarks.md)

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _NEVER = -1, -1
_M_MMAP_MAX, _NONE = -4, 0

_is_kept = False


class _Allocated(ctypes.Structure):
    """``struct mallinfo2`` of glibc from 2.33 on."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


def keep_freed_memory() -> bool:
    """Keep freed memory from now on, if the C library is a glibc from 2.33 on, and the environment does not forbid it.

    The process then stays as large as it once was, and becomes larger than it would be, up to ``GROWTH`` times, since
    what is allocated does not always fit into what was freed. Large blocks of threads other than the main one still
    come and go.

    Returns:
        Whether it is kept.
    """
    global _is_kept
    library = _glibc()
    if library is None or _is_chosen_by_user():
        return False
    if not _is_kept:
        _is_kept = bool(library.mallopt(_M_TRIM_THRESHOLD, _NEVER) and library.mallopt(_M_MMAP_MAX, _NONE))
        os.register_at_fork(before=give_back)  # what a parent writes to is copied for as long as a child lives
    return _is_kept


def give_back() -> None:
    """Give what is kept back to the system, for others; what is freed after that is kept again."""
    library = _glibc()
    if _is_kept and library is not None:
        library.malloc_trim(0)


def growth_of_peak() -> float:
    """Return how many times as much memory as it needs at once this process may come to take."""
    return GROWTH if _is_kept else 1.0


def kept_bytes(resident: int) -> int:
    """Return the bytes that this process keeps, which are free to it alone.

    Args:
        resident: Bytes of the process that lie in memory; what it has never written to lies nowhere.
    """
    library = _glibc()
    if not _is_kept or library is None:
        return 0
    library.mallinfo2.restype = _Allocated
    allocated = library.mallinfo2()
    return max(0, min(int(allocated.fordblks), resident - int(allocated.uordblks)))


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallinfo2") else None  # musl has none either


def _is_chosen_by_user() -> bool:
    """Tell whether the environment says how memory is allocated, or by which allocator."""
    says = os.environ.get
    return (
        any(says(f"MALLOC_{name}_") for name in ("TRIM_THRESHOLD", "MMAP_THRESHOLD", "MMAP_MAX"))
        or "glibc.malloc." in says("GLIBC_TUNABLES", "")
        or "alloc" in says("LD_PRELOAD", "")  # jemalloc, tcmalloc, mimalloc
    )
