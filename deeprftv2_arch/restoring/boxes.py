"""The boxes of which JPEG 2000, HEIC and AVIF are made, as ISO/IEC 15444-1, annex I, and 14496-12 define them."""

import struct
from collections.abc import Iterator


def boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield kind and content of every box, as far as they are whole."""
    position = 0
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        begin = position + 8
        if length == 1 and begin + 8 <= len(data):  # a longer one, of which the length follows
            (length,) = struct.unpack_from(">Q", data, begin)
            begin += 8
        end = len(data) if length == 0 else position + length
        if not begin <= end <= len(data):
            return
        yield kind, data[begin:end]
        position = end


def box(data: memoryview, *path: bytes) -> memoryview:
    """Return the content of the first box of a kind, in the first one of the kind before, and so on; empty if none."""
    for kind in path:
        data = next((content for its_kind, content in boxes(data) if its_kind == kind), data[:0])
    return data
