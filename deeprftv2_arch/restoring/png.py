"""The chunks of a PNG file."""

import struct
import zlib
from collections.abc import Iterator

BEHIND_HEADER = 33  # bytes of the signature and of the chunk that comes first


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of every chunk of a whole PNG."""
    position, kind = 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        yield kind, data[position + 8 : position + 8 + length]
        position += 12 + length


def with_chunk(data: bytes, kind: bytes, content: bytes) -> bytes:
    """A PNG with one more chunk behind its header."""
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return data[:BEHIND_HEADER] + chunk + data[BEHIND_HEADER:]
