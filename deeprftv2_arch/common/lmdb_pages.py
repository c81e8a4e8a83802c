"""Looking through the pages of an LMDB before LMDB maps the file.

LMDB trusts what it maps: a page number or a size that leads out of the file ends the process by a bus error or a
segmentation fault. Here the tree of the pages is read by ordinary reads, from the root to the leaves; the values
themselves are not. The layout is that of LMDB 0.9 on a machine of 64 bits and little-endian.
"""

import os
import struct
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

_HEADER = struct.Struct("<QHHHH")  # number, padding, flags, end of the offsets, begin of the nodes
_META = struct.Struct("<IIQQ")  # magic number, version, address, size of the map
_DB = struct.Struct("<IHHQQQQQ")  # padding, flags, depth, pages: branches, leaves, overflow; entries, root
_LAST = struct.Struct("<QQ")  # last page, transaction
_NODE = struct.Struct("<HHHH")  # low and high half of a size, flags, length of the key
_MAGIC, _VERSION = 0xBEEFC0DE, 1
_BRANCH, _LEAF, _IS_META = 0x01, 0x02, 0x08  # of pages
_BIG = 0x01  # of a node: its value has pages of its own
_NONE = 2**64 - 1  # the root of a tree without pages
_PAGE_SIZES = tuple(2**power for power in range(9, 17))
_DEEPEST = 32


def page_fault(data: Path) -> str | None:
    """Return what is wrong with the pages of a file ``data.mdb``, such as "damaged (...)"; None if nothing is.

    Raises:
        OSError: It cannot be read.
    """
    found = data.stat()
    return _page_fault(data, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=64)
def _page_fault(data: Path, size: int, changed: int) -> str | None:
    with data.open("rb") as file:
        try:
            _Tree(file, size).check()
        except _DamageError as error:
            return str(error)
        except (struct.error, IndexError):
            return "damaged (a page is cut off)"
    return None


class _DamageError(Exception):
    """Something is not as LMDB writes it."""


class _Tree:
    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file = file
        self.size = size
        self.page_size = self._find_page_size()
        self.pages = size // self.page_size
        _, _, _, self.root, self.entries, self.last = max(self._meta(number) for number in (0, 1))
        self.seen: set[int] = set()
        self.found = 0

    def check(self) -> None:
        if self.last >= self.pages:
            raise _DamageError(f"truncated ({self.size} of {(self.last + 1) * self.page_size} bytes)")
        if self.root != _NONE:
            self._walk()
        if self.found != self.entries:
            raise _DamageError(f"damaged (holds {self.found:,} of {self.entries:,} entries)")

    def _find_page_size(self) -> int:
        start = _HEADER.size + _META.size
        size: int = _DB.unpack(os.pread(self.file.fileno(), _DB.size, start))[0]
        if size not in _PAGE_SIZES:
            raise _DamageError("damaged (no page size in its first page)")
        return size

    def _meta(self, number: int) -> tuple[int, int, int, int, int, int]:
        page = self._page(number)
        flags = _HEADER.unpack_from(page)[2]
        magic, version, _, _ = _META.unpack_from(page, _HEADER.size)
        if not flags & _IS_META or magic != _MAGIC or version != _VERSION:
            raise _DamageError(f"damaged (its page {number} is none of LMDB's first pages)")
        place = _HEADER.size + _META.size
        free = _DB.unpack_from(page, place)
        main = _DB.unpack_from(page, place + _DB.size)
        last, transaction = _LAST.unpack_from(page, place + 2 * _DB.size)
        if free[7] != _NONE and free[7] > last:
            raise _DamageError("damaged (its list of free pages lies beyond its end)")
        return transaction, -number, 0, main[7], main[6], last

    def _page(self, number: int) -> bytes:
        return os.pread(self.file.fileno(), self.page_size, number * self.page_size)

    def _walk(self) -> None:
        waiting = [(self.root, 0)]
        while waiting:
            number, depth = waiting.pop()
            if number > self.last or number < 2 or number in self.seen or depth > _DEEPEST:
                raise _DamageError(f"damaged (a page number ({number}) leads astray)")
            self.seen.add(number)
            page = self._page(number)
            own, _, flags, lower, upper = _HEADER.unpack_from(page)
            if own != number or flags & (_BRANCH | _LEAF) not in (_BRANCH, _LEAF):
                raise _DamageError(f"damaged (page {number} is no page of keys)")
            if not _HEADER.size <= lower <= upper <= self.page_size:
                raise _DamageError(f"damaged (page {number} has wrong bounds)")
            for place in range(_HEADER.size, lower - 1, 2):
                child = self._node(page, number, int.from_bytes(page[place : place + 2], "little"), bool(flags & _LEAF))
                if child is not None:
                    waiting.append((child, depth + 1))

    def _node(self, page: bytes, number: int, offset: int, is_leaf: bool) -> int | None:
        """Check a node; return the page below one of a branch."""
        low, high, flags, key = _NODE.unpack_from(page, offset)
        end = offset + _NODE.size + key
        if offset < _HEADER.size or end > self.page_size:
            raise _DamageError(f"damaged (page {number} has a key beyond its end)")
        if not is_leaf:
            return int(low | high << 16 | flags << 32)
        self.found += 1
        size = low | high << 16
        if flags & _BIG:
            first = struct.unpack_from("<Q", page, end)[0]
            count = (_HEADER.size - 1 + size) // self.page_size + 1
            if first < 2 or first + count - 1 > self.last:
                raise _DamageError(f"damaged (page {number} has a value beyond the end of the file)")
        elif end + size > self.page_size:
            raise _DamageError(f"damaged (page {number} has a value beyond its end)")
        return None
